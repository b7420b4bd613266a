"""Memory that runs out: the same gradients from smaller pieces."""

import pytest
import torch
from two_classes import TwoClasses

from peftsearch.errors import TrainingError
from peftsearch.testing.tiny_models import TINY
from peftsearch.training.arguments import Phase
from peftsearch.training.micro_batches import MicroBatches, cut, is_out_of_memory, num_items
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import TaskTrainer


def out_of_memory():
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class Memory(torch.nn.Module):
    """A model that runs out of memory above some number of examples."""

    def __init__(self, model, rows: int):
        super().__init__()
        self.model, self.rows, self.seen = model, rows, []
        self.config = model.config

    def forward(self, input_ids, attention_mask, labels):
        self.seen.append(len(input_ids))
        if len(input_ids) > self.rows:
            raise out_of_memory()
        return self.model(input_ids=input_ids, attention_mask=attention_mask, labels=labels)


def batch(rows: int, family: str) -> dict[str, torch.Tensor]:
    ids = torch.randint(6, 200, (rows, 7), generator=torch.Generator().manual_seed(1))
    labels = ids[:, 0] % 2
    if family == "t5":
        # Rows with fewer labels that count weigh less.
        labels = ids.masked_fill(torch.arange(7)[None, :] > torch.arange(rows)[:, None] % 7, -100)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def gradients(tmp_path, family: str, *, rows: int, batches: int = 1, count_items: bool = True, class_weights=()):
    """Gradients of the model after training steps on a batch of 8, cut into `batches`, and what the trainer saw."""
    torch.manual_seed(0)
    model = Memory(TINY[family](), rows)
    phase = Phase("train", tmp_path, 0)
    settings = TrainingSettings(learning_rate=1e-3, gradient_accumulation_steps=batches)
    task_format = TwoClasses(class_weights)
    trainer = TaskTrainer(model, task_format=task_format, train=[], settings=settings, phase=phase)
    trainer.create_optimizer()
    # No dropout: its draws depend on the pieces.
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    whole = batch(8, family)
    items = torch.tensor(num_items(whole)) if count_items else None
    loss = sum(trainer.training_step(model, piece, items) for piece in cut(whole, batches))
    return float(loss), [p.grad.clone() for p in model.parameters() if p.grad is not None], trainer


@pytest.mark.parametrize("family", ["bert", "t5", "llama"])
@pytest.mark.parametrize("rows", [5, 4, 3, 1])
def test_pieces_add_up_to_the_gradients_of_the_batch(family, rows, tmp_path):
    loss, expected, _ = gradients(tmp_path, family, rows=8)
    same_loss, found, trainer = gradients(tmp_path, family, rows=rows)
    assert trainer.micro_batches.num_micro_batches == {5: 2, 4: 2, 3: 4, 1: 8}[rows]
    assert same_loss == pytest.approx(loss, rel=1e-5)
    # Float32 sums in another order.
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "t5", "llama"])
def test_accumulated_batches_add_up_to_the_gradients_of_one(family, tmp_path):
    _, expected, _ = gradients(tmp_path, family, rows=8)
    _, found, _ = gradients(tmp_path, family, rows=8, batches=4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_memory_that_runs_out_between_accumulated_batches_loses_nothing(tmp_path):
    _, expected, _ = gradients(tmp_path, "bert", rows=8)
    _, found, trainer = gradients(tmp_path, "bert", rows=3, batches=2)
    assert trainer.model.seen == [4, 2, 2, 2, 2]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_what_fitted_once_is_not_tried_larger_again(tmp_path):
    _, _, trainer = gradients(tmp_path, "bert", rows=2)
    trainer.training_step(trainer.model, batch(8, "bert"), torch.tensor(8))
    assert trainer.model.seen == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_single_example_that_does_not_fit_ends_the_training(tmp_path):
    with pytest.raises(TrainingError, match="single example.*max_seq_length"):
        gradients(tmp_path, "bert", rows=0)


def test_other_errors_pass_through():
    def broken(piece):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        MicroBatches().each({"x": torch.ones(4)}, broken, undo=lambda: None)


def test_real_errors_of_memory_are_known():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(error.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(out_of_memory())
    assert not is_out_of_memory(RuntimeError("size mismatch"))
