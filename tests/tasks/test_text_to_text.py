"""Text-to-text: likelihoods of label strings against a slow loop, generation, and targets."""

import math

import pytest
import torch

from peftsearch.errors import DataError
from peftsearch.tasks import text_to_text
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.tasks.text_to_text import TextToTextFormat, choice_likelihoods, number_text, parse_number

_TEXTS = ("a cat", "a much longer text about dogs", "x")


def _task(targets, goal=Goal.CLASSIFICATION, labels=("a", "b", "c"), metric="accuracy"):
    examples = tuple(Example((("text:", text),), target) for text, target in zip(_TEXTS, targets, strict=True))
    splits = dict.fromkeys(("train", "validation", "test"), examples)
    labels = labels if goal is Goal.CLASSIFICATION else ()
    return Task("toy", goal, labels, metric, metric, splits, "all", 64, prefix="toy")


def _form(task, tokenizer):
    return make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=True, max_length=64)


def _slow_likelihood(model, tokenizer, source, target):
    """One source, one target, no padding: the sum of the log-probabilities of its tokens."""
    source_ids = torch.tensor([tokenizer(source)["input_ids"]])
    target_ids = tokenizer(target)["input_ids"]
    decoder_ids = torch.tensor([[model.config.decoder_start_token_id, *target_ids[:-1]]])
    log_probabilities = model(input_ids=source_ids, decoder_input_ids=decoder_ids).logits[0].log_softmax(-1)
    return sum(float(log_probabilities[i, token]) for i, token in enumerate(target_ids))


@torch.inference_mode()
@pytest.mark.parametrize("max_rows", [1024, 4])
def test_likelihoods_equal_those_of_each_label_alone(tiny_t5, plain_tokenizer, monkeypatch, max_rows):
    # 4 rows for 3 sources: one choice a pass.
    monkeypatch.setattr(text_to_text, "_MAX_DECODER_ROWS", max_rows)
    task_format = _form(_task([0, 1, 2]), plain_tokenizer)
    batch = task_format.collate(list(task_format.encode(task_format.task.splits["test"])))
    choices = ["0", "10", "3.5"]
    found = choice_likelihoods(tiny_t5, batch, [plain_tokenizer(choice)["input_ids"] for choice in choices])
    slow = [[_slow_likelihood(tiny_t5, plain_tokenizer, f"toy text: {t}", c) for c in choices] for t in _TEXTS]
    # Float32 sums over a padded and an unpadded attention differ in the last digits.
    torch.testing.assert_close(found, torch.tensor(slow), atol=1e-4, rtol=1e-5)


@torch.inference_mode()
def test_classes_are_as_probable_as_their_strings(tiny_t5, plain_tokenizer):
    task_format = _form(_task([0, 1, 2]), plain_tokenizer)
    batch = task_format.collate(list(task_format.encode(task_format.task.splits["test"])))
    slow = [
        [math.exp(_slow_likelihood(tiny_t5, plain_tokenizer, f"toy text: {text}", str(i))) for i in range(3)]
        for text in _TEXTS
    ]
    # Float32 sums over padded and unpadded attention differ in the last digits.
    expected = [pytest.approx([odds / sum(row) for odds in row], rel=1e-4) for row in slow]
    assert task_format.predict(tiny_t5, batch) == expected


def test_targets_are_class_strings_that_end(plain_tokenizer):
    task_format = _form(_task([0, 1, 2]), plain_tokenizer)
    encoded = task_format.encode(task_format.task.splits["test"])
    assert [plain_tokenizer.decode(row["labels"]) for row in encoded] == ["0</s>", "1</s>", "2</s>"]
    assert plain_tokenizer.decode(encoded[0]["input_ids"], skip_special_tokens=True) == "toy text: a cat"
    assert (task_format.head.num_labels, task_format.head.problem_type) == (None, None)


def test_labels_are_ignored_after_their_end(plain_tokenizer, tiny_t5):
    task_format = _form(_task([("x",), ("abc",), ("yz",)], goal=Goal.ANSWER, metric="exact_match"), plain_tokenizer)
    batch = task_format.collate(list(task_format.encode(task_format.task.splits["test"])))
    assert (batch["labels"] == -100).sum(1).tolist() == [2, 0, 1]
    assert batch["input_ids"].shape[1] % 8 == 0
    assert torch.isfinite(tiny_t5(**batch).loss)


def test_regression_compares_the_numbers_of_the_training_data(tiny_t5, plain_tokenizer):
    task_format = _form(_task([2.31, 2.33, 5.0], goal=Goal.REGRESSION, metric="pearson"), plain_tokenizer)
    assert task_format.choices == ("2.3", "5.0")
    batch = task_format.collate(list(task_format.encode(task_format.task.splits["test"])))
    with torch.inference_mode():
        assert set(task_format.predict(tiny_t5, batch)) <= {2.3, 5.0}
    assert task_format.score([1.0, 1.0, 2.0], task_format.task.splits["test"])["pearson"] == pytest.approx(
        100, abs=0.1
    )


def test_free_answers_are_generated_greedily(tiny_t5, plain_tokenizer):
    task_format = _form(_task([("x",)] * 3, goal=Goal.ANSWER, metric="exact_match"), plain_tokenizer)
    batch = task_format.collate(list(task_format.encode(task_format.task.splits["test"])))
    with torch.inference_mode():
        ids = [tiny_t5.config.decoder_start_token_id]
        source = torch.tensor([plain_tokenizer(f"toy text: {_TEXTS[0]}")["input_ids"]])
        while len(ids) < 20 and ids[-1] != 1:
            ids.append(int(tiny_t5(input_ids=source, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        expected = plain_tokenizer.decode(ids, skip_special_tokens=True).strip()
        assert task_format.predict(tiny_t5, batch)[0] == expected


def test_each_gold_answer_is_a_row_in_training_and_evaluation(plain_tokenizer):
    task_format = _form(_task([("x", "y"), ("z",), ("u",)], goal=Goal.ANSWER, metric="exact_match"), plain_tokenizer)
    examples = task_format.task.splits["test"]
    assert len(task_format.encode(examples)) == 4
    assert task_format.score(["y", "y", "z", "no"], examples) == {"exact_match": 75.0}


@pytest.mark.parametrize(("text", "number"), [("3.8", 3.8), (" 2", 2.0), ("three", -1.0), ("", -1.0), ("nan", -1.0)])
def test_text_that_spells_no_number_is_minus_one(text, number):
    assert parse_number(text) == number


@pytest.mark.parametrize(("number", "text"), [(3.799999, "3.8"), (5, "5.0"), (0.0, "0.0"), (1.25, "1.2")])
def test_numbers_are_rounded_to_one_decimal(number, text):
    assert number_text(number) == text


def _numbers(*targets):
    examples = [Example((("text:", str(target)),), target) for target in targets]
    splits = dict.fromkeys(("train", "validation", "test"), tuple(examples))
    return Task("toy", Goal.REGRESSION, (), "pearson", "pearson", splits, "all", 64)


def test_numbers_that_rounding_would_make_equal_are_refused(plain_tokenizer):
    with pytest.raises(DataError, match=r"one decimal, but the training targets differ by 0.01 .*power of ten"):
        TextToTextFormat(_numbers(0.01, 0.03), plain_tokenizer, 64)


def test_numbers_that_are_rounded_are_counted(plain_tokenizer, caplog):
    TextToTextFormat(_numbers(0.0, 2.25, 5.0), plain_tokenizer, 64)
    assert "1 of 3 training targets are rounded to one decimal" in caplog.text
    caplog.clear()
    TextToTextFormat(_numbers(100_000.0, 500_000.5), plain_tokenizer, 64)
    assert not caplog.text
