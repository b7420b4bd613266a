"""Means of gradients against values worked out by hand, on the loss w * x of numbers x."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from peftsearch.errors import TrainingError
from peftsearch.modules.attach import attach
from peftsearch.space import Configuration
from peftsearch.testing.tiny_models import TINY
from peftsearch.training.mean_gradients import MeanGradients, without_dropout

NUMBERS = [1.0, 2.0, 4.0, 8.0, 16.0]


@dataclass
class Products:
    """Mean of w * x over the numbers of a batch; negative ones do not count, as labels may."""

    numbers: list[float] = field(default_factory=lambda: NUMBERS)
    w: nn.Parameter = field(default_factory=lambda: nn.Parameter(torch.tensor(3.0)))
    batch_size: int = 2
    largest: int = 99

    def batches(self, rows):
        return [
            {"x": torch.tensor([self.numbers[i] for i in rows[k : k + self.batch_size]])}
            for k in range(0, len(rows), self.batch_size)
        ]

    def num_items(self, batch):
        return int((batch["x"] >= 0).sum())

    def mean(self, batch):
        if len(batch["x"]) > self.largest:
            raise torch.OutOfMemoryError("out of memory")
        return (self.w * batch["x"][batch["x"] >= 0]).mean()


def test_every_part_has_the_mean_over_its_examples_however_they_are_batched():
    # The last batch of the first part has one example of three.
    loss = Products()
    found = MeanGradients(loss, [[0, 1, 4], [2, 3]])([loss.w])
    torch.testing.assert_close(found, [[torch.tensor(19 / 3)], [torch.tensor(6.0)]])


def test_batches_that_memory_does_not_hold_give_the_same_means():
    loss = Products(batch_size=3, largest=1)
    torch.testing.assert_close(MeanGradients(loss, [[0, 1, 4]])([loss.w]), [[torch.tensor(19 / 3)]])


def test_what_does_not_count_changes_nothing():
    loss = Products(numbers=[1.0, -1.0, -1.0, -1.0, 5.0])
    torch.testing.assert_close(MeanGradients(loss, [[0, 1, 2, 3, 4]])([loss.w]), [[torch.tensor(3.0)]])


def test_a_tensor_that_the_loss_does_not_depend_on_has_zeros():
    loss, other = Products(), nn.Parameter(torch.ones(2))
    assert torch.equal(MeanGradients(loss, [[0]])([other, loss.w])[0][0], torch.zeros(2))


def test_a_gradient_that_is_not_a_number_ends_the_search():
    loss = Products(numbers=[1.0, float("inf")])
    with pytest.raises(TrainingError, match="not finite"):
        MeanGradients(loss, [[0, 1]])([loss.w])


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_dropout_is_off_unless_gradients_are_checkpointed(gradient_checkpointing):
    model = attach(TINY["bert"](), Configuration(), sites=[])
    without_dropout(model, gradient_checkpointing=gradient_checkpointing)
    assert all(module.training == gradient_checkpointing for module in model.modules() if module is not model)
    assert model.get_base_model().is_activation_checkpointing == gradient_checkpointing
