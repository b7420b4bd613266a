"""Heterogeneous adapters in transformers' own Trainer."""

import json

import pytest
import torch
from heterogeneous import adapted, load_base, save_base
from peft import PeftModel
from safetensors.torch import load_file
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

STEPS = 6


class Rows(Dataset):
    """Rows of tokens whose label is the parity of the first."""

    def __init__(self, count: int):
        self.ids = torch.randint(5, 250, (count, 6), generator=torch.Generator().manual_seed(count))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[index], "labels": self.ids[index, 0] % 2}


@pytest.fixture
def trainer(tmp_path):
    """Name of the output folder, settings -> a trainer of a tiny BERT with every kind that fits."""
    base = save_base("bert", "SEQ_CLS", tmp_path / "base")

    def make(name: str, **settings) -> Trainer:
        model = adapted(load_base(base, "SEQ_CLS"), "SEQ_CLS")
        quiet = {"report_to": "none", "disable_tqdm": True, "use_cpu": True, "logging_steps": 1}
        arguments = TrainingArguments(
            str(tmp_path / name),
            max_steps=STEPS,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            save_steps=2,
            **quiet,
            **settings,
        )
        return Trainer(model, arguments, train_dataset=Rows(24), eval_dataset=Rows(8))

    return make


def weights(model: PeftModel) -> dict[str, torch.Tensor]:
    return {
        name: parameter.detach().clone() for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(trainer, tmp_path):
    whole = trainer("whole")
    whole.train()
    saved = {path.name for path in (tmp_path / "whole" / "checkpoint-4").iterdir()}
    assert "adapter_model.safetensors" in saved and "model.safetensors" not in saved
    resumed = trainer("resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    expected, found = weights(whole.model), weights(resumed.model)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, msg=name)


def test_the_best_checkpoint_comes_back_at_the_end(trainer, tmp_path):
    best = trainer("best", eval_strategy="steps", eval_steps=2, load_best_model_at_end=True)
    best.train()
    folder = best.state.best_model_checkpoint
    log = json.loads((tmp_path / "best" / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())["log_history"]
    losses = {row["step"]: row["eval_loss"] for row in log if "eval_loss" in row}
    assert folder.endswith(f"checkpoint-{min(losses, key=losses.get)}")
    saved = load_file(f"{folder}/adapter_model.safetensors")
    found = best.model.state_dict()
    for name, tensor in saved.items():
        path, _, last = name.rpartition(".")
        if "peftsearch_" in name:
            torch.testing.assert_close(found[f"{path}.default.{last}"], tensor)
    assert best.evaluate()["eval_loss"] == pytest.approx(losses[min(losses, key=losses.get)], rel=1e-5)


def test_gradient_checkpointing_by_the_trainer_trains_the_same(trainer):
    found = []
    for name, checkpointing in (("plain", False), ("checkpointed", True)):
        each = trainer(name, gradient_checkpointing=checkpointing)
        each.train()
        found.append([row["loss"] for row in each.state.log_history if "loss" in row])
    assert len(found[0]) == STEPS
    assert found[0] == pytest.approx(found[1], rel=1e-3)
