"""What training adds to transformers' Trainer: groups by kind, the best epoch, halves, batches of like length."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Dataset, Subset
from transformers import Trainer
from two_classes import TwoClasses

from peftsearch.methods.bipeft.settings import BipeftSettings
from peftsearch.methods.s3delta.settings import S3DeltaSettings
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.modules.peft_module import KINDS
from peftsearch.searches.gate_driver import search_steps, split_in_halves
from peftsearch.space import Choice, Configuration
from peftsearch.tasks.encoded_pictures import EncodedPictures
from peftsearch.testing.tiny_models import TINY
from peftsearch.training.arguments import Phase, uses_bf16
from peftsearch.training.average import AverageLast
from peftsearch.training.batches import length_grouped
from peftsearch.training.parameter_groups import BACKBONE_SCALE, parameter_groups
from peftsearch.training.settings import TrainingSettings, planned_steps
from peftsearch.training.trainer import TaskTrainer


class Lengths(Dataset):
    def __init__(self, lengths):
        self.lengths = lengths

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, i):
        return {"length": self.lengths[i]}


def test_every_kind_is_a_group_at_its_own_multiple_of_the_rate():
    model = TINY["bert"]()
    configuration = Configuration.of([Choice("encoder.0.query", "lora", 2), Choice("encoder.0.ffn_norm", "lnfit")])
    adapted = attach(model, configuration, sites=find_sites(model), head=("classifier",), task_type="SEQ_CLS")
    groups = {group["name"]: group for group in parameter_groups(adapted, 0.1)}
    assert {name: group["lr"] for name, group in groups.items()} == {
        "head": 0.1,
        "lora": 0.1 * KINDS["lora"].learning_rate_scale,
        "lnfit": 0.1 * KINDS["lnfit"].learning_rate_scale,
    }
    assert sum(p.numel() for p in groups["lora"]["params"]) == 2 * (32 + 32)
    grouped = sum(len(group["params"]) for group in groups.values())
    assert grouped == sum(p.requires_grad for p in adapted.parameters())


def test_lora_s_b_may_have_a_rate_of_its_own():
    model = TINY["bert"]()
    configuration = Configuration.of([Choice("encoder.0.query", "lora", 2)])
    adapted = attach(model, configuration, sites=find_sites(model), head=("classifier",), task_type="SEQ_CLS")
    groups = {group["name"]: group for group in parameter_groups(adapted, 0.1, lora_b_rate=16)}
    assert {name: group["lr"] for name, group in groups.items()} == {"head": 0.1, "lora": 0.1, "lora B": 1.6}
    assert [tuple(p.shape) for name in ("lora", "lora B") for p in groups[name]["params"]] == [(2, 32), (32, 2)]


def test_the_average_is_that_of_the_last_steps():
    model, best = (
        torch.nn.Linear(1, 1, bias=False),
        SimpleNamespace(on_epoch_end=lambda *_, **__: None, select_after_step=0),
    )
    average = AverageLast(0.5, best)
    for step, value in enumerate([8.0, 4.0, 2.0, 1.0], start=1):
        model.weight.data.fill_(value)
        average.on_step_end(None, SimpleNamespace(global_step=step, max_steps=4), None, model=model)
    average.on_epoch_end(None, SimpleNamespace(global_step=2, max_steps=4), None, model=model)
    assert model.weight.item() == 1.0
    average.on_epoch_end(None, SimpleNamespace(global_step=4, max_steps=4), None, model=model)
    assert model.weight.item() == pytest.approx(1.5)


def test_operations_are_counted_as_transformers_does(tmp_path):
    phase, batch = Phase("train", tmp_path, 0), {"input_ids": torch.ones(2, 3, dtype=torch.long)}
    settings = TrainingSettings(learning_rate=1e-3)
    trainer = TaskTrainer(TINY["bert"](), task_format=TwoClasses(), train=[], settings=settings, phase=phase)
    assert trainer.floating_point_ops(batch) == Trainer.floating_point_ops(trainer, batch) > 0
    assert trainer.floating_point_ops({"pixel_values": torch.ones(2, 3)}) == 0


def test_the_weight_decay_of_the_settings_reaches_every_group(tmp_path):
    settings = TrainingSettings(learning_rate=1e-3, weight_decay=0.25)
    phase = Phase("train", tmp_path, 0)
    trainer = TaskTrainer(TINY["bert"](), task_format=TwoClasses(), train=[], settings=settings, phase=phase)
    assert {group["weight_decay"] for group in trainer.create_optimizer().param_groups} == {0.25}


def test_full_fine_tuning_has_a_smaller_rate():
    (group,) = parameter_groups(TINY["bert"](), 0.1)
    assert (group["name"], group["lr"]) == ("backbone", pytest.approx(0.1 * BACKBONE_SCALE))


def test_batches_hold_texts_of_like_length():
    lengths = torch.randint(5, 100, (256,)).tolist()
    order = list(length_grouped(Lengths(lengths), 8, seed=0))
    assert sorted(order) == list(range(256))
    padded = sum(max(lengths[i] for i in order[b : b + 8]) * 8 for b in range(0, 256, 8))
    shuffled = sum(max(lengths[b : b + 8]) * 8 for b in range(0, 256, 8))
    assert padded < 1.1 * sum(lengths) < shuffled


def test_pictures_are_not_decoded_for_the_order_of_their_batches():
    def read(path):
        raise AssertionError(f"{path} was read")

    half = Subset(EncodedPictures([f"{i}.png" for i in range(40)], [0] * 40, read), range(0, 40, 2))
    assert sorted(length_grouped(half, 8, seed=0)) == list(range(20))


def test_the_halves_are_disjoint_and_drop_an_odd_example():
    first, second = split_in_halves(Lengths(list(range(11))), seed=3)
    seen = [item["length"] for half in (first, second) for item in (half[i] for i in range(len(half)))]
    assert len(first) == len(second) == 5 and len(set(seen)) == 10
    again, _ = split_in_halves(Lengths(list(range(11))), seed=3)
    assert again.indices == first.indices


def test_planned_steps_count_whole_batches():
    settings = TrainingSettings(per_device_train_batch_size=32, gradient_accumulation_steps=2)
    assert planned_steps(750, settings, 5) == 60
    assert planned_steps(10, settings, 0.1) == 1


@pytest.mark.parametrize(
    ("examples", "epochs", "method", "steps"),
    [
        (3200, 4, BipeftSettings(cost=1), 400),
        (3200, 4, BipeftSettings(), 100),
        (3200, 4, BipeftSettings(epochs=3), 300),
        (800, 4, BipeftSettings(cost=0.25), 40),  # 25 would be too few
        (160, 4, BipeftSettings(cost=0.25), 20),  # no longer than the training
        (3200, 4, S3DeltaSettings(), 400),
        (3200, 4, S3DeltaSettings(epochs=0.5), 50),
    ],
)
def test_a_search_is_planned_for_a_share_of_the_training(examples, epochs, method, steps):
    settings = TrainingSettings(per_device_train_batch_size=32, num_train_epochs=epochs)
    assert search_steps(examples, settings, method) == steps


def test_bf16_is_not_used_on_a_device_without_it():
    if not torch.cuda.is_available():
        assert not uses_bf16("auto")
    assert uses_bf16("true") and not uses_bf16("false")
