"""A copy of a user's Trainer, which a search gives another model and another length."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import (
    DefaultFlowCallback,
    Trainer,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import CallbackHandler
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from peftsearch import processes
from peftsearch.training.callbacks import JsonLog, ShowProgress
from peftsearch.training.log_file import LogFile


def copy_for(model: PeftModel, trainer: Trainer) -> Any:
    """Copy a Trainer for another model, with its loss, data and collator; the original stays as it is.

    Returns:
        of the same class.
    """
    search: Any = copy.copy(trainer)
    search.model = search.model_wrapped = model
    search.state, search.control = TrainerState(), TrainerControl()
    # TRL's trainers show the mean of what they have seen since the last log.
    if hasattr(search, "_metrics"):
        search._metrics = copy.deepcopy(search._metrics)
    return search


def prepare_search(search: Trainer, *, num_steps: int, log: Path, progress: ShowProgress) -> None:
    """Give a copy of a Trainer the length and the log of a search; it does not evaluate, save or report.

    Args:
        search: the copy.
        num_steps: optimizer steps.
        log: file that the first of several processes writes.
        progress: that it shows.
    """
    search.args = _arguments_of_search(search.args, num_steps)
    callbacks = [JsonLog(LogFile(log)), progress] if processes.is_first() else []
    search.callback_handler = CallbackHandler(
        [DefaultFlowCallback(), *callbacks], search.model, search.processing_class, None, None
    )


@contextmanager
def unwrapped(trainer: Trainer) -> Iterator[None]:
    """Train inside of the context without a wrapper of torch for several processes, which expects no gates."""
    accelerator: Any = trainer.accelerator
    if "prepare_model" in vars(accelerator):
        yield
        return
    accelerator.prepare_model = partial(accelerator.prepare_model, evaluation_mode=True)
    try:
        yield
    finally:
        # The method of its class is there again: the Trainer that was copied has the same accelerator.
        del accelerator.prepare_model


def _arguments_of_search(args: TrainingArguments, num_steps: int) -> TrainingArguments:
    # A plain copy: making new arguments would set up devices and trackers once more.
    args = copy.copy(args)
    args.max_steps = num_steps
    args.eval_strategy, args.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
    args.eval_on_start = args.load_best_model_at_end = args.push_to_hub = args.auto_find_batch_size = False
    return args
