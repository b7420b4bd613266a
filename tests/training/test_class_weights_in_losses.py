"""Losses with class weights, against torch's own weighted loss."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from two_classes import TwoClasses

from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.testing import TINY
from peftsearch.training.arguments import Phase
from peftsearch.training.head_probe import probe_head
from peftsearch.training.mean_gradients import MeanGradients
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.task_loss import TaskLoss
from peftsearch.training.trainer import TaskTrainer

WEIGHTS = (0.625, 2.5)


def batch(rows: int = 8) -> dict[str, torch.Tensor]:
    ids = torch.randint(6, 200, (rows, 7), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": (ids[:, 0] % 3 == 0).long()}


def expected_loss(model, given) -> torch.Tensor:
    """The sum of torch's weighted losses over the number of examples."""
    logits = model(**{name: tensor for name, tensor in given.items() if name != "labels"}).logits
    return cross_entropy(logits, given["labels"], weight=torch.tensor(WEIGHTS), reduction="sum") / len(logits)


def expected_gradients(model, given) -> list[torch.Tensor]:
    return list(torch.autograd.grad(expected_loss(model, given), list(model.classifier.parameters())))


def test_a_weighted_loss_is_torch_s_over_the_number_of_examples():
    model, given = TINY["bert"]().eval(), batch()
    assert 0 < int(given["labels"].sum()) < 8
    found = TwoClasses(WEIGHTS).mean_loss(model(**given), given)
    torch.testing.assert_close(found, expected_loss(model, given))
    losses = TwoClasses(WEIGHTS).row_losses(model(**given), given)
    torch.testing.assert_close(losses.mean(), found)
    plain = TwoClasses()
    assert plain.mean_loss(model(**given), given) == model(**given).loss
    torch.testing.assert_close(plain.row_losses(model(**given), given).mean(), model(**given).loss)


def test_what_a_model_adds_to_its_loss_stays():
    model, given = TINY["bert"]().eval(), batch()
    outputs = model(**given)
    outputs["loss"] = outputs["loss"] + 0.5
    torch.testing.assert_close(TwoClasses(WEIGHTS).mean_loss(outputs, given), expected_loss(model, given) + 0.5)


def test_the_trainer_of_search_and_training_weighs_batches_and_their_parts_alike(tmp_path):
    model, given = TINY["bert"]().eval(), batch()
    settings = TrainingSettings(learning_rate=1e-3)
    phase = Phase("train", tmp_path, 0)
    trainer = TaskTrainer(model, task_format=TwoClasses(WEIGHTS), train=[], settings=settings, phase=phase)
    whole = trainer.compute_loss(model, given, num_items_in_batch=torch.tensor(8))
    parts = [{name: tensor[rows] for name, tensor in given.items()} for rows in (slice(3), slice(3, 8))]
    added = sum(trainer.compute_loss(model, part, num_items_in_batch=torch.tensor(8)) for part in parts)
    torch.testing.assert_close(whole, expected_loss(model, given))
    # Sums of floats in another order.
    torch.testing.assert_close(added, whole, rtol=1e-5, atol=1e-6)


def test_gradients_before_a_search_are_those_of_the_weighted_loss():
    model, given = TINY["bert"]().eval(), batch()
    columns = {name: given[name].tolist() for name in ("input_ids", "attention_mask")}
    examples = EncodedDataset(columns, given["labels"].tolist())
    settings = TrainingSettings(bf16="false", per_device_train_batch_size=3)
    loss = TaskLoss(model, TwoClasses(WEIGHTS), examples, settings)
    mean_gradients = MeanGradients(loss, [range(8)])
    found = mean_gradients(list(model.classifier.parameters()))[0]
    for own, other in zip(found, expected_gradients(model, given), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def test_a_head_is_fitted_to_the_weighted_loss():
    model, given = TINY["bert"]().eval(), [batch()]
    with torch.no_grad():
        fresh = float(expected_loss(model, given[0]))
    found = probe_head(model, ("classifier",), train=given, validation=given, seed=0, task=TwoClasses(WEIGHTS))
    assert found.fresh_loss == pytest.approx(fresh, rel=1e-5)
    with torch.no_grad():
        assert found.loss == pytest.approx(float(expected_loss(model, given[0])), rel=1e-4)
    assert found.loss < fresh
