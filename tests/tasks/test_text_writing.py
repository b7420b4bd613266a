"""Texts to write: scores of targets against a slow loop, greedy texts, limits and what is cut."""

import math

import pytest
import torch

from peftsearch.tasks.format_entry import WrittenTexts
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.target_limits import TargetLimits
from peftsearch.tasks.task import Example, Goal, Task

_TEXTS = ("a cat", "a much longer text about dogs", "x")
_TARGETS = ("cat", "dogs!", "no")
LIMITS = TargetLimits(16, 6)


def _task(metric="loss", others=("perplexity", "next_token_accuracy", "exact_text")):
    examples = tuple(Example((("source:", text),), (target,)) for text, target in zip(_TEXTS, _TARGETS, strict=True))
    splits = dict.fromkeys(("train", "validation", "test"), examples)
    return Task("toy", Goal.TEXT, (), metric, metric, splits, "all", 64, other_metrics=others)


def _format(tokenizer, limits=LIMITS, max_length=64):
    return make_task_format(
        _task(), tokenizer=tokenizer, is_encoder_decoder=True, max_length=max_length, written=WrittenTexts(limits)
    )


def _batch(task_format):
    return task_format.collate(list(task_format.encode(task_format.task.splits["test"])))


def _slow_score(model, tokenizer, source, target):
    """One source, one target, no padding: the loss of every token, and which are the likeliest."""
    source_ids, target_ids = torch.tensor([tokenizer(source)["input_ids"]]), tokenizer(target)["input_ids"]
    decoder_ids = torch.tensor([[model.config.decoder_start_token_id, *target_ids[:-1]]])
    rows = model(input_ids=source_ids, decoder_input_ids=decoder_ids).logits[0].log_softmax(-1)
    losses = [-float(row[token]) for row, token in zip(rows, target_ids, strict=True)]
    return losses, [int(row.argmax()) == token for row, token in zip(rows, target_ids, strict=True)]


@torch.inference_mode()
def test_targets_are_scored_as_each_alone(tiny_t5, plain_tokenizer):
    task_format = _format(plain_tokenizer)
    slow = [_slow_score(tiny_t5, plain_tokenizer, *pair) for pair in zip(_TEXTS, _TARGETS, strict=True)]
    found = task_format.predict(tiny_t5, _batch(task_format))
    # Float32 sums over padded and unpadded attention differ in the last digits.
    assert [score.loss for score in found] == [pytest.approx(sum(losses), rel=1e-4) for losses, _ in slow]
    assert [(score.count, score.right) for score in found] == [(len(right), sum(right)) for _, right in slow]
    tokens = [loss for losses, _ in slow for loss in losses]
    mean = sum(tokens) / len(tokens)
    scores = task_format.score(found, task_format.task.splits["test"])
    assert scores["loss"] == pytest.approx(mean, rel=1e-4)
    assert scores["perplexity"] == pytest.approx(math.exp(mean), rel=1e-3)


@torch.inference_mode()
def test_losses_of_rows_are_means_over_their_tokens(tiny_t5, plain_tokenizer):
    task_format, batch = _format(plain_tokenizer), _batch(_format(plain_tokenizer))
    rows = task_format.row_losses(task_format.forward(tiny_t5, batch), batch).tolist()
    assert rows == [pytest.approx(score.loss / score.count, rel=1e-5) for score in task_format.predict(tiny_t5, batch)]


@torch.inference_mode()
def test_answers_are_written_greedily_up_to_the_limit(tiny_t5, plain_tokenizer):
    answering = _format(plain_tokenizer).answering()
    expected = []
    for text in _TEXTS:
        ids, source = [tiny_t5.config.decoder_start_token_id], torch.tensor([plain_tokenizer(text)["input_ids"]])
        while len(ids) <= 6 and ids[-1] != 1:
            ids.append(int(tiny_t5(input_ids=source, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        expected.append(plain_tokenizer.decode(ids, skip_special_tokens=True).strip())
    assert answering.predict(tiny_t5, _batch(answering)) == expected and any(expected)


def test_the_source_is_read_as_it_is_and_several_columns_with_their_names(plain_tokenizer):
    encoded = _format(plain_tokenizer).encode([Example((("source:", "a cat"),), ("b",))])
    assert plain_tokenizer.decode(encoded[0]["input_ids"]) == "a cat</s>"
    assert plain_tokenizer.decode(encoded[0]["labels"]) == "b</s>"
    encoded = _format(plain_tokenizer).encode([Example((("question:", "who?"), ("context:", "Ida")), ("b",))])
    assert plain_tokenizer.decode(encoded[0]["input_ids"], skip_special_tokens=True) == "question: who? context: Ida"


def test_longer_targets_are_cut_counted_and_told(plain_tokenizer, caplog):
    # With their end, the targets have 4, 6 and 3 tokens.
    encoded = _format(plain_tokenizer, TargetLimits(4, 6)).encode(_task().splits["test"])
    assert [plain_tokenizer.decode(row["labels"]) for row in encoded] == ["cat</s>", "dog</s>", "no</s>"]
    assert (encoded.num_truncated, encoded.num_truncated_targets) == (0, 1)
    assert "1 of 3 targets were longer than 4 tokens (--training.max_target_length)" in caplog.text


def test_sources_are_counted_by_what_reads_them(plain_tokenizer, caplog):
    task_format = _format(plain_tokenizer, max_length=8)
    encoded = task_format.encode(_task().splits["test"])
    assert (encoded.num_truncated, encoded.num_truncated_targets, task_format.num_truncated) == (1, 0, 1)
    assert "1 of 3 examples were longer than 8 tokens" in caplog.text


def test_texts_are_scored_by_the_metrics_that_read_them(plain_tokenizer):
    task_format = _format(plain_tokenizer)
    scores = task_format.score_texts(["cat", "dogs", "no"], task_format.task.splits["test"])
    assert scores == {"exact_text": pytest.approx(200 / 3)}
