"""The converter of a task for a kind of model, found by the format of its goal."""

from dataclasses import asdict

from transformers import BaseImageProcessor, PreTrainedTokenizerBase

from peftsearch.errors import DataError
from peftsearch.task_head import Medium
from peftsearch.tasks.format_entry import (
    ALL_COMPLETIONS,
    USUAL_TEXTS,
    FormatRequest,
    LossTokens,
    WrittenTexts,
    format_of,
)
from peftsearch.tasks.metric_choice import KINDS
from peftsearch.tasks.task import NEXT_TOKENS, Goal, Task
from peftsearch.tasks.task_format import TaskFormat


def make_task_format(
    task: Task,
    *,
    tokenizer: PreTrainedTokenizerBase | BaseImageProcessor,
    is_encoder_decoder: bool,
    max_length: int,
    class_weights: tuple[float, ...] = (),
    written: WrittenTexts = USUAL_TEXTS,
) -> TaskFormat:
    """Make the converter of a task for a kind of model, as the format of its goal does.

    Args:
        task: its goal, labels and metrics are used.
        tokenizer: the model's; for pictures its image processor.
        is_encoder_decoder: as the model's configuration says.
        max_length: tokens kept of a row, at least 4; 0 for pictures.
        class_weights: of each class in the loss; empty where all examples count alike.
        written: how texts are learned and written.

    Raises:
        DataError: for a limit below 4 tokens, or a model, class weights or tokens that the format does not fit.
    """
    entry = format_of(task)
    if entry.medium is Medium.TEXTS and max_length < 4:
        raise DataError(f"max_length is {max_length} tokens, but must be at least 4: special tokens need room too.")
    if class_weights and task.goal is not Goal.CLASSIFICATION:
        raise DataError(
            f"training.class_weights is 'balanced', but {KINDS[task.goal]} have no class weights. Leave it out."
        )
    if task.goal not in NEXT_TOKENS:
        _refuse_loss_tokens(task, written.loss_tokens)
    return entry.make(FormatRequest(task, tokenizer, is_encoder_decoder, max_length, class_weights, written))


def _refuse_loss_tokens(task: Task, loss_tokens: LossTokens) -> None:
    """Refuse settings that would be without effect."""
    for name, default in asdict(ALL_COMPLETIONS).items():
        value = getattr(loss_tokens, name)
        if value != default:
            raise DataError(
                f"training.{name} is {str(value).lower()}, but {task.name} is no task of language models: its format "
                f"is {format_of(task).name}. Leave it out."
            )
