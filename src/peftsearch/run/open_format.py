"""How a task is put to a model, as both and the training settings say."""

import logging

from transformers import PreTrainedTokenizerBase

from peftsearch.errors import DataError
from peftsearch.models.load import load_config, load_processor
from peftsearch.models.max_length import max_length_of
from peftsearch.run.config import RunConfig
from peftsearch.run.target_length import check_limits, find_limits
from peftsearch.tasks.class_weights import balanced_weights
from peftsearch.tasks.format_entry import LossTokens, WrittenTexts, format_of
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.target_limits import DEFAULT_LIMITS
from peftsearch.tasks.task import Task
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


def format_for(config: RunConfig, task: Task) -> TaskFormat:
    """Find out how the model takes the task; no weights are loaded.

    Raises:
        PeftSearchError: for a model, a tokenizer or settings that do not fit the task.
    """
    model_config, medium, training = load_config(config.model), format_of(task).medium, config.training
    processor = load_processor(config.model, medium)
    is_of_texts = isinstance(processor, PreTrainedTokenizerBase)
    longest = max_length_of(model_config, processor) if is_of_texts else _no_length(training)
    if is_of_texts and training.max_seq_length > longest:
        logger.warning(
            "training.max_seq_length is %s, but the model takes at most %s tokens: longer examples are cut there.",
            f"{training.max_seq_length:,}",
            f"{longest:,}",
        )
    task_format = make_task_format(
        task,
        tokenizer=processor,
        is_encoder_decoder=bool(model_config.is_encoder_decoder),
        max_length=min(training.max_seq_length or task.max_length, longest),
        class_weights=balanced_weights(task) if training.class_weights == "balanced" else (),
        written=WrittenTexts(
            find_limits(training, longest) if is_of_texts else DEFAULT_LIMITS,
            LossTokens(training.completion_only, training.assistant_only, training.packing),
        ),
    )
    check_limits(training, task_format)
    return task_format


def _no_length(training: TrainingSettings) -> int:
    """Refuse a limit of tokens for pictures, which have none: it would be without effect."""
    if training.max_seq_length:
        raise DataError(
            f"training.max_seq_length is {training.max_seq_length}, but pictures have no tokens that can be left out. "
            "Leave it out; their size is in the model's preprocessor_config.json."
        )
    return 0
