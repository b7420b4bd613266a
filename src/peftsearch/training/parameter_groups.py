"""A learning rate for each kind of module: every kind has its own multiple of LoRA's."""

import re
from collections import defaultdict
from typing import Any

import torch
from torch import nn
from transformers import Trainer

from peftsearch.modules.adapted_layer import PREFIX
from peftsearch.modules.attach import is_attached
from peftsearch.modules.peft_module import KINDS

# Multiple of the learning rate for the backbone's own weights in full fine-tuning.
BACKBONE_SCALE = 0.05
# Group of LoRA's B where it has a rate of its own.
_LORA_B = "lora B"
_KIND = re.compile(rf"\.{PREFIX}([^.]+)\.")


class RatesByKind(Trainer):
    """A Trainer whose optimizer has one group for each kind of module, at its multiple of the learning rate."""

    # Rate of LoRA's B as a multiple of A's.
    lora_b_rate = 1.0

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Make the optimizer that the arguments name, over groups by kind."""
        if self.optimizer is None:
            trained: Any = self.model if model is None else model
            optimizer_class, options = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(
                self.args, trained
            )
            groups = parameter_groups(trained, self.args.learning_rate, lora_b_rate=self.lora_b_rate)
            decayed = [group | {"weight_decay": self.args.weight_decay} for group in groups]
            self.optimizer = optimizer_class(decayed, **options)
        return self.optimizer


def parameter_groups(model: nn.Module, learning_rate: float, *, lora_b_rate: float = 1.0) -> list[dict[str, Any]]:
    """Group trainable parameters by kind; the task head and a fully trained backbone are groups of their own.

    Args:
        model: with its trainable parameters marked.
        learning_rate: LoRA's.
        lora_b_rate: rate of LoRA's B as a multiple of A's; B is a group of its own unless it is 1 (Hayou et al. 2024,
            "LoRA+", section 4).

    Returns:
        groups as torch's optimizers take them, with the keys "params", "lr" and "name".
    """
    groups: dict[str, list[nn.Parameter]] = defaultdict(list)
    is_adapted = any(is_attached(name) or "modules_to_save" in name for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = _kind_of(name) or ("head" if is_adapted else "backbone")
            is_b = kind == "lora" and lora_b_rate != 1 and (name.endswith(".B") or ".lora_B." in name)
            groups[_LORA_B if is_b else kind].append(parameter)
    scales = {"head": 1.0, "backbone": BACKBONE_SCALE, _LORA_B: lora_b_rate}
    return [
        {
            "params": parameters,
            "lr": learning_rate * (scales[name] if name in scales else KINDS[name].learning_rate_scale),
            "name": name,
        }
        for name, parameters in sorted(groups.items())
    ]


def _kind_of(name: str) -> str | None:
    """The kind whose rate a parameter is trained at; peft's own LoRA methods have LoRA's."""
    match = _KIND.search(name)
    return match[1] if match else "lora" if is_attached(name) else None
