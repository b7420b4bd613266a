"""A checkpoint must hold every weight of the model outside of the task head, at the size of the configuration."""

from collections.abc import Iterable
from typing import Any

from peftsearch.errors import ModelError
from peftsearch.models.head import TaskModel


def check_sizes(name: str, head: tuple[str, ...], mismatched: Any) -> None:
    """Refuse weights outside of the head whose sizes differ from the configuration's.

    Args:
        name: name of the model, for the message.
        head: names of the head's modules.
        mismatched: names of the weights whose sizes differ, or tuples that start with a name.

    Raises:
        ModelError: naming the first such weight.
    """
    keys = [key[0] if isinstance(key, tuple) else key for key in mismatched]
    wrong = [key for key in keys if not key.startswith(tuple(f"{module}." for module in head))]
    if wrong:
        raise ModelError(
            f"The weights of '{name}' do not have the sizes that its config.json gives, for example '{wrong[0]}'. "
            "Check that both belong together."
        )


def check_complete(loaded: TaskModel, missing: Iterable[str]) -> None:
    """Refuse a checkpoint that lacks weights outside of the task head, which would be drawn at random.

    Args:
        loaded: the model.
        missing: names of the tensors that the checkpoint lacks.

    Raises:
        ModelError: naming the first such weight.
    """
    missing, head = set(missing), tuple(f"{module}." for module in loaded.head)
    names = [name for name, _ in loaded.model.named_parameters() if not name.startswith(head)]
    wrong = [name for name in names if name in missing]
    if wrong:
        raise ModelError(
            f"The weights of '{loaded.name}' lack {len(wrong):,} of the {len(names):,} tensors that its config.json "
            f"asks for, for example '{wrong[0]}', which would be drawn at random. Check that both belong together, "
            "and that transformers has saved the weights."
        )
