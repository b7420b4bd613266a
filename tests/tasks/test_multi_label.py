"""The converter of several labels: batches, losses, the threshold and guessing, followed by hand."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid
from transformers import BertConfig, BertForSequenceClassification

from peftsearch.errors import DataError
from peftsearch.run.first_bias import start_at_shares
from peftsearch.task_head import TaskHead
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.training.micro_batches import cut, num_items

LABELS = ("p", "q", "r")
TASK = Task(
    *("letters", Goal.LABELS, LABELS, "label_micro_f1", "label_micro_f1", {}, "", 16),
    other_metrics=("label_macro_f1", "mean_average_precision", "subset_accuracy"),
)
EXAMPLES = [Example((("text:", text),), labels) for text, labels in (("p r", (0, 2)), ("no", ()), ("q", (1,)))]


@pytest.fixture
def task_format(encoder_tokenizer):
    return make_task_format(TASK, tokenizer=encoder_tokenizer, is_encoder_decoder=False, max_length=16)


@pytest.fixture
def model(encoder_tokenizer):
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    config = BertConfig(
        vocab_size=len(encoder_tokenizer), num_labels=3, problem_type="multi_label_classification", **sizes
    )
    return BertForSequenceClassification(config).eval()


def batch_of(task_format):
    return task_format.collate(list(task_format.encode(EXAMPLES)))


def test_labels_are_rows_of_0_and_1(task_format):
    batch = batch_of(task_format)
    assert batch["labels"].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]] and batch["labels"].dtype == torch.float32
    assert task_format.head == TaskHead("SEQ_CLS", 3, "multi_label_classification", LABELS)


def test_the_loss_of_a_row_is_the_mean_over_labels_and_their_mean_that_of_the_model(task_format, model):
    batch = batch_of(task_format)
    outputs = task_format.forward(model, batch)
    found = task_format.row_losses(outputs, batch)
    first = outputs.logits[0]
    by_hand = -(logsigmoid(first[0]) + logsigmoid(-first[1]) + logsigmoid(first[2])) / 3
    torch.testing.assert_close(found[0], by_hand)
    torch.testing.assert_close(found.mean(), outputs.loss)
    torch.testing.assert_close(task_format.mean_loss(outputs, batch), outputs.loss)


def test_micro_batches_add_up_to_the_whole_batch(task_format, model):
    batch = batch_of(task_format)
    assert num_items(batch) == 3

    def gradient(parts):
        model.zero_grad()
        for part in parts:
            loss = task_format.mean_loss(task_format.forward(model, part), part)
            (loss * num_items(part) / num_items(batch)).backward()
        found = model.classifier.weight.grad
        assert found is not None
        return found.clone()

    # Of 3 rows 1 and 2, so that a mean of means would be another one.
    torch.testing.assert_close(gradient(cut(batch, 2)), gradient([batch]))


def test_probabilities_are_those_of_each_label_and_the_threshold_gives_them(task_format):
    batch = batch_of(task_format)
    logits = torch.tensor([[0.0, -2.0, 2.0], [-1.0, -3.0, -3.0], [-4.0, -0.5, -4.0]])
    predictions = task_format.predict(lambda **_: SimpleNamespace(logits=logits), batch)
    sigmoid = [[1 / (1 + math.exp(-x)) for x in row] for row in logits.tolist()]
    assert [pytest.approx(row) for row in sigmoid] == predictions
    # At 1/2: "p" and "r" of the first row; "q" of the third is missed: 2 * 2 / (2 * 2 + 1).
    assert task_format.score(predictions, EXAMPLES)["label_micro_f1"] == pytest.approx(80)
    assert task_format.score(predictions, EXAMPLES)["subset_accuracy"] == pytest.approx(200 / 3)
    fitted = task_format.fitted(predictions, EXAMPLES)
    # Between those of -0.5 and -1.0.
    assert fitted.threshold == pytest.approx((sigmoid[2][1] + sigmoid[1][0]) / 2)
    assert set(fitted.score(predictions, EXAMPLES).values()) == {100.0}
    assert task_format.threshold == 0.5
    assert task_format.at_threshold(0.9).threshold == 0.9 and task_format.at_threshold(None) is task_format


def test_guessing_knows_the_share_of_each_label(task_format):
    train, validation = [[1, 0, 0], [1, 1, 0]], [[1, 0, 0], [0, 1, 1]]
    # With one added to both sides: 3/4, 2/4 and 1/4.
    first = -(math.log(3 / 4) + math.log(2 / 4) + math.log(3 / 4)) / 3
    second = -(math.log(1 / 4) + math.log(2 / 4) + math.log(1 / 4)) / 3
    assert task_format.guess_losses(train, validation) == pytest.approx([first, second])


def test_a_fresh_head_starts_at_the_share_of_each_label_and_a_trained_one_stays(task_format, model):
    encoded = task_format.encode(EXAMPLES)
    start_at_shares(model, task_format, encoded)
    # Each label is in 1 of 3 rows: (1 + 1) to (2 + 1).
    assert model.classifier.bias.tolist() == pytest.approx([math.log(2 / 3)] * 3)
    with torch.no_grad():
        model.classifier.bias.fill_(5.0)
    start_at_shares(model, task_format, encoded)
    assert model.classifier.bias.tolist() == [5.0] * 3


@pytest.mark.parametrize("is_encoder_decoder,weights", [(True, ()), (False, (1.0, 1.0, 1.0))])
def test_what_does_not_fit_is_refused(encoder_tokenizer, is_encoder_decoder, weights):
    with pytest.raises(
        DataError, match="several labels a text, but an encoder-decoder|several labels have no class weights"
    ):
        make_task_format(
            TASK,
            tokenizer=encoder_tokenizer,
            is_encoder_decoder=is_encoder_decoder,
            max_length=16,
            class_weights=weights,
        )
