"""Tell the task head from the backbone, and count both."""

from collections.abc import Set
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from peftsearch.models.checkpoint import checkpoint_keys


@dataclass(frozen=True)
class TaskModel:
    """A model for a task, with its head told apart.

    Args:
        name: as the user gave it.
        model: in float32 on the CPU, or on the meta device, which has sizes and no weights.
        head: exact names of modules that are trained in full and saved with the adapter.
        backbone_parameters: parameters outside of the head, tied ones counted once.
        head_parameters: parameters of the head.
    """

    name: str
    model: PreTrainedModel
    head: tuple[str, ...]
    backbone_parameters: int
    head_parameters: int

    @classmethod
    def of(cls, name: str, model: PreTrainedModel, head: tuple[str, ...]) -> "TaskModel":
        """Count a model's parameters in and outside of a head; arguments as for the class."""
        in_head = sum(p.numel() for module in head for p in model.get_submodule(module).parameters())
        return cls(name, model, head, count_outside(model, head), in_head)

    @classmethod
    def of_checkpoint(cls, name: str, model: PreTrainedModel) -> "TaskModel":
        """A model that the checkpoint called `name` belongs to, whose keys decide on a pooler; see `find_head`."""
        keys = checkpoint_keys(name) if _poolers(model) else None
        return cls.of(name, model, find_head(model, keys))


def find_head(model: PreTrainedModel, checkpoint_keys: Set[str] | None = None) -> tuple[str, ...]:
    """Names of the modules that a task trains in full.

    Language models and bare base models have none. Otherwise it is all that stands outside of the base model, and a
    pooler inside of it that starts at random, since the checkpoint lacks some of its weights.

    Args:
        model: on any device.
        checkpoint_keys: names of the checkpoint's tensors, with or without the base model's prefix ("bert."); None if
            it lacks nothing.

    Example:
        find_head(BertForSequenceClassification(config))  # ("classifier",)
    """
    if model.get_output_embeddings() is not None or model.base_model is model:
        return ()
    outside = [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and next(child.parameters(), None) is not None
    ]
    lacked = [name for name in _poolers(model) if checkpoint_keys is not None and _lacks(model, name, checkpoint_keys)]
    return tuple(sorted(outside) + lacked)


def count_outside(model: nn.Module, head: tuple[str, ...]) -> int:
    """Parameters outside of the named modules, tied ones counted once."""
    in_head = {id(p) for name in head for p in model.get_submodule(name).parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in in_head)


def _poolers(model: PreTrainedModel) -> list[str]:
    """Names of the base model's poolers in a model that has a head around it."""
    children = () if model.base_model is model else model.base_model.named_children()
    return sorted(f"{model.base_model_prefix}.{name}" for name, _ in children if name.endswith("pooler"))


def _lacks(model: PreTrainedModel, module: str, keys: Set[str]) -> bool:
    prefix = f"{model.base_model_prefix}."
    names = [f"{module}.{name}" for name, _ in model.get_submodule(module).named_parameters()]
    return any(name not in keys and name.removeprefix(prefix) not in keys for name in names)
