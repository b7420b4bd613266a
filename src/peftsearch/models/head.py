"""Separate the task head of a model from its backbone, and count the parameters of both."""

from collections.abc import Set
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from peftsearch.models.checkpoint import checkpoint_keys
from peftsearch.models.quantisation import packed_outside_of_parameters, unpacked_size


@dataclass(frozen=True)
class TaskModel:
    """A model for a task, with the names of its head's modules.

    Args:
        name: the model's name, as the user gave it.
        model: with weights, or on the meta device, which has sizes alone.
        head: exact names of the modules that are trained in full and saved with the adapter.
        backbone_parameters: number of parameters outside of the head, tied ones counted once.
        head_parameters: number of parameters of the head.
    """

    name: str
    model: PreTrainedModel
    head: tuple[str, ...]
    backbone_parameters: int
    head_parameters: int

    @classmethod
    def of(cls, name: str, model: PreTrainedModel, head: tuple[str, ...]) -> "TaskModel":
        """Count a model's parameters inside and outside of a head; arguments as for the class."""
        in_head = sum(p.numel() for module in head for p in model.get_submodule(module).parameters())
        return cls(name, model, head, count_outside(model, head), in_head)

    @classmethod
    def of_checkpoint(cls, name: str, model: PreTrainedModel) -> "TaskModel":
        """Find the head of a model, and count its parameters.

        Args:
            name: name of the model's checkpoint, whose tensors decide whether a pooler belongs to the head.
            model: the model, with or without weights.
        """
        keys = checkpoint_keys(name) if _poolers(model) else None
        return cls.of(name, model, find_head(model, keys))


def find_head(model: PreTrainedModel, checkpoint_keys: Set[str] | None = None) -> tuple[str, ...]:
    """Find the names of the modules that a task trains in full.

    Language models and bare base models have none. For other models, these are all modules outside of the base model,
    and a pooler inside of it that starts at random because the checkpoint lacks some of its weights.

    Args:
        model: on any device.
        checkpoint_keys: names of the checkpoint's tensors, with or without the base model's prefix ("bert."); None to
            assume that the checkpoint has all weights of a pooler.

    Example:
        find_head(BertForSequenceClassification(BertConfig()))  # ("classifier",)
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


def find_output_layer(model: PreTrainedModel) -> nn.Linear | None:
    """Find the linear layer that makes the outputs of a task model: the last one of its head; None if none does.

    Of a head that peft trains beside the original it is the copy that is trained.

    Args:
        model: on any device, with the parameters of its head marked as trainable.

    Example:
        find_output_layer(RobertaForSequenceClassification(RobertaConfig()))  # that of classifier.out_proj
    """
    modules = [module for name in find_head(model) for module in model.get_submodule(name).modules()]
    found = [
        module
        for module in modules
        if isinstance(module, nn.Linear)
        and module.out_features == model.config.num_labels
        and module.weight.requires_grad
    ]
    return found[-1] if found else None


def count_outside(model: nn.Module, head: tuple[str, ...]) -> int:
    """Count the parameters outside of the named modules, tied ones once and quantised ones as if in full."""
    in_head = {id(p) for name in head for p in model.get_submodule(name).parameters()}
    packed = sum(map(packed_outside_of_parameters, model.modules()))
    return packed + sum(unpacked_size(p) for p in model.parameters() if id(p) not in in_head)


def _poolers(model: PreTrainedModel) -> list[str]:
    """Find the names of the base model's poolers in a model with a head."""
    children = () if model.base_model is model else model.base_model.named_children()
    return sorted(f"{model.base_model_prefix}.{name}" for name, _ in children if name.endswith("pooler"))


def _lacks(model: PreTrainedModel, module: str, keys: Set[str]) -> bool:
    prefix = f"{model.base_model_prefix}."
    names = [f"{module}.{name}" for name, _ in model.get_submodule(module).named_parameters()]
    return any(name not in keys and name.removeprefix(prefix) not in keys for name in names)
