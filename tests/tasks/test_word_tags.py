"""The converter of tags: labels, batches, predictions and losses, followed by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy

from peftsearch.errors import DivergedError
from peftsearch.task_head import TaskHead
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.task import Example, Goal, Task

LABELS = ("O", "B-city")
TASK = Task("cities", Goal.TAGS, LABELS, "entity_f1", "entity_f1", {}, "", 16)


def example(words: str, *tags: int) -> Example:
    return Example(tuple(("tokens:", word) for word in words.split()), tags)


@pytest.fixture
def task_format(encoder_tokenizer):
    return make_task_format(TASK, tokenizer=encoder_tokenizer, is_encoder_decoder=False, max_length=16)


def model(logits: torch.Tensor):
    return lambda **_: SimpleNamespace(logits=logits)


def test_the_label_stands_at_the_first_token_of_a_word(task_format):
    encoded = task_format.encode([example("in Oslo", 0, 1), example("a", 0)])
    # Each character is a token, and so is the space with which a word begins: <cls> i n _ O s l o <sep>.
    assert encoded[0]["labels"] == [-100, 0, -100, 1, -100, -100, -100, -100, -100]
    batch = task_format.collate([encoded[0], encoded[1]])
    assert batch["labels"].shape == batch["input_ids"].shape == (2, 16)
    assert batch["labels"][1].tolist() == [-100, 0, *[-100] * 14]
    assert task_format.head == TaskHead("TOKEN_CLS", 2, None, LABELS)


def test_a_prediction_has_a_tag_for_each_word_that_is_read(task_format):
    examples = [example("in Oslo now really", 0, 1, 0, 1), example("a", 0)]
    encoded = task_format.encode(examples)
    # <cls> i n _ O s l o _ n o w _ r e <sep>: within 16 tokens all words begin, and the last one is cut.
    batch = task_format.collate([encoded[0], encoded[1]])
    logits = torch.zeros(2, 16, 2)
    logits[0, [1, 3], [0, 1]] = 1.0
    logits[1, 1, 1] = 1.0
    assert task_format.predict(model(logits), batch) == [[0, 1, 0, 0], [1]]
    assert task_format.num_truncated == 0
    long = task_format.encode([example("aaaaaaa bbbbbbb c", 0, 0, 1)])
    assert task_format.num_truncated == long.num_truncated == 1 and 1 not in long[0]["labels"]


def test_an_output_that_is_no_number_is_refused_at_words_only(task_format):
    encoded = task_format.encode([example("in", 0)])
    batch = task_format.collate([encoded[0]])
    logits = torch.zeros(1, batch["input_ids"].shape[1], 2)
    logits[0, 0] = float("nan")
    assert task_format.predict(model(logits), batch) == [[0]]
    logits[0, 1] = float("nan")
    with pytest.raises(DivergedError, match="outputs are not finite"):
        task_format.predict(model(logits), batch)


def test_the_loss_of_a_row_is_the_mean_over_its_words(task_format):
    encoded = task_format.encode([example("in Oslo", 0, 1), example("a", 0)])
    batch = task_format.collate([encoded[0], encoded[1]])
    logits = torch.randn(2, 16, 2)
    first = (cross_entropy(logits[0, 1], torch.tensor(0)) + cross_entropy(logits[0, 3], torch.tensor(1))) / 2
    second = cross_entropy(logits[1, 1], torch.tensor(0))
    torch.testing.assert_close(
        task_format.row_losses(SimpleNamespace(logits=logits), batch), torch.stack([first, second])
    )


def test_a_fresh_head_starts_near_the_logarithms_of_the_shares(task_format):
    encoded = task_format.encode([example("in Oslo we are", 0, 1, 0, 0), example("a", 0)])
    # 4 words of 5 are O, with one added to every count 5 of 7.
    assert task_format.first_outputs(encoded.labels) == pytest.approx([math.log(5 / 7), math.log(2 / 7)])
