"""The task head that a checkpoint of another task brings along."""

from collections.abc import Sequence

from torch import nn

from peftsearch.models.checkpoint import checkpoint_keys
from peftsearch.models.head import TaskModel, find_head

# Classes named in a message.
_NAMED = 4


def find_other_classes(loaded: TaskModel, named: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Find the classes that the head in a checkpoint was trained for, where they are not those of a task.

    Args:
        loaded: the model, with or without weights.
        named: names of the classes in the checkpoint's own configuration, in the order of the head's outputs.
        labels: names of the task's classes, in their order; empty for a regression.

    Returns:
        the names; none if the checkpoint has no weights for some part of the head, which is then drawn at random, or
        if they are the same.
    """
    keys = checkpoint_keys(loaded.name) or frozenset()
    own = [
        f"{name}.{key}" for name in find_head(loaded.model) for key in loaded.model.get_submodule(name).state_dict()
    ]
    is_whole = bool(own) and all(key in keys for key in own)
    return tuple(named) if is_whole and tuple(named) != tuple(labels) else ()


def draw_head_anew(loaded: TaskModel) -> None:
    """Draw the weights of a model's task head at random, as for a checkpoint without one."""
    for name in find_head(loaded.model):
        for module in loaded.model.get_submodule(name).modules():
            _forget_weights(module)
            loaded.model._init_weights(module)


def describe_other_classes(classes: Sequence[str]) -> str:
    """Say that a model's head was trained for these classes, not the task's, and is drawn anew."""
    shown = ", ".join([*classes[:_NAMED], *(["..."] if len(classes) > _NAMED else [])])
    return (
        f"The model has a task head already, which was trained for {len(classes)} other output(s) ({shown}); the head "
        "is drawn anew. Only for classes of the same names, in the same order, does it start from its weights."
    )


def _forget_weights(module: nn.Module) -> None:
    """Take off the marks by which transformers leaves loaded weights alone."""
    for parameter in module.parameters(recurse=False):
        setattr(parameter, "_is_hf_initialized", False)  # noqa: B010  torch's own type does not know it
