"""How long the texts are that the model of a run learns and writes."""

from peftsearch.errors import DataError
from peftsearch.task_head import CAUSAL_LM
from peftsearch.tasks.target_limits import DEFAULT_MAX_TARGET_LENGTH, TargetLimits
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.settings import TrainingSettings

_SETTINGS = ("max_target_length", "max_new_tokens")


def find_limits(settings: TrainingSettings, longest: int) -> TargetLimits:
    """The limits of texts that a model learns and writes: as asked, or as far as the model goes.

    Args:
        settings: of the training.
        longest: tokens that the model takes.

    Raises:
        DataError: for more tokens than the model takes.
    """
    for name in _SETTINGS:
        _check_fits(f"training.{name}", getattr(settings, name), longest)
    length = settings.max_target_length or min(DEFAULT_MAX_TARGET_LENGTH, longest)
    return TargetLimits(length, settings.max_new_tokens)


def limits_of_answers(noted: int, asked: int, longest: int) -> TargetLimits:
    """The limits of texts that the model of a finished run writes.

    Args:
        noted: tokens that the run lets it write; 0 for tasks without texts to write.
        asked: tokens that the user lets it write; 0 for the run's own.
        longest: tokens that the model takes.

    Raises:
        DataError: for a task without texts to write, or more tokens than the model takes.
    """
    if asked and not noted:
        raise DataError(
            f"max_new_tokens is {asked}, but the run has no texts to write: its answers are labels, numbers or parts "
            "of a text. Leave it out."
        )
    _check_fits("max_new_tokens", asked, longest)
    return TargetLimits(max_new_tokens=asked or noted)


def _check_fits(name: str, asked: int, longest: int) -> None:
    if asked > longest:
        raise DataError(f"{name} is {asked}, but the model takes at most {longest} tokens. Lower it.")


def check_limits(settings: TrainingSettings, task_format: TaskFormat) -> None:
    """Refuse limits of texts for a task without texts to write.

    Raises:
        DataError: naming the first one that is given.
    """
    given = [name for name in _SETTINGS if getattr(settings, name)]
    if given and not task_format.max_new_tokens:
        raise DataError(
            f"training.{given[0]} is {getattr(settings, given[0])}, but the task has no texts to write: its model "
            f"chooses among labels. Leave --training.{given[0]} out."
        )
    if settings.max_target_length and task_format.head.task_type == CAUSAL_LM:
        raise DataError(
            f"training.max_target_length is {settings.max_target_length}, but a decoder reads prompt and completion "
            "as one row. Leave it out: --max_seq_length is the limit of both together."
        )
