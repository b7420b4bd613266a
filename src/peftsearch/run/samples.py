"""What the model of a run writes for a few test examples, before and after its training."""

import logging
from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState
from torch import nn

from peftsearch.errors import DataError
from peftsearch.report.run.sample_record import Sample, SampleRecord
from peftsearch.run.candidates import Candidate
from peftsearch.run.experiment import Experiment
from peftsearch.run.saved_model import SavedModel
from peftsearch.tasks.quoting import quote, quote_end
from peftsearch.tasks.task import NEXT_TOKENS
from peftsearch.tasks.wanted_text import asked_text
from peftsearch.training.evaluation import write

logger = logging.getLogger(__name__)

# Examples that are shown, and characters of each text.
_SHOWN, _LONGEST = 5, 400


def sample_texts(experiment: Experiment, saved: SavedModel, folder: Path, *, of: Candidate) -> SampleRecord | None:
    """Let the pretrained model and a saved result write a few texts; None for tasks without texts to write.

    Args:
        experiment: gives the test split and the task format.
        saved: how to load the result.
        folder: that the result lies in.
        of: the configuration that the result is of.
    """
    if not experiment.task_format.max_new_tokens:
        return None
    test, task_format = experiment.splits.test.examples, experiment.task_format
    goal = experiment.task.goal
    shown = [example for example, text in zip(test, task_format.wanted_texts(test)) if text.strip()][:_SHOWN]
    if not shown:
        return None
    try:
        before = _write(saved.load_base(), experiment, shown)
        after = _write(saved.load(folder)[0], experiment, shown)
    except DataError as error:
        logger.warning("The page shows no samples of what the model writes: %s", error)
        return None
    # A decoder goes on from the end of what it reads.
    quote_read = quote_end if goal in NEXT_TOKENS else quote
    samples = tuple(
        Sample(
            quote_read(asked_text(example, goal), longest=_LONGEST), *(quote(text, longest=_LONGEST) for text in row)
        )
        for example, *row in zip(shown, task_format.wanted_texts(shown), before, after, strict=True)
    )
    seed = of.trained.runs[of.trained.best(experiment.task.selection_metric)].seed
    return SampleRecord(of.name, seed, len(test), samples)


def _write(model: nn.Module, experiment: Experiment, examples: Sequence) -> list[str]:
    batch_size = experiment.training.per_device_eval_batch_size
    return write(model.to(PartialState().device), experiment.task_format, examples, batch_size=batch_size)
