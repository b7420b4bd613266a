"""What the model of a run writes for a few test examples, before and after its training."""

from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState
from torch import nn

from peftsearch.report.run.sample_record import Sample, SampleRecord
from peftsearch.run.candidates import Candidate
from peftsearch.run.experiment import Experiment
from peftsearch.run.saved_model import SavedModel
from peftsearch.tasks.quoting import quote
from peftsearch.training.evaluation import write

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
    shown = test[:_SHOWN]
    read = [" ".join(text for _, text in example.fields) for example in shown]
    wanted = task_format.wanted_texts(shown)
    if not wanted:
        return None
    before = _write(saved.load_base(), experiment, shown)
    after = _write(saved.load(folder)[0], experiment, shown)
    rows = zip(read, wanted, before, after, strict=True)
    samples = tuple(Sample(*(quote(text, longest=_LONGEST) for text in row)) for row in rows)
    seed = of.trained.runs[of.trained.best(experiment.task.selection_metric)].seed
    return SampleRecord(of.name, seed, len(test), samples)


def _write(model: nn.Module, experiment: Experiment, examples: Sequence) -> list[str]:
    batch_size = experiment.training.per_device_eval_batch_size
    return write(model.to(PartialState().device), experiment.task_format, examples, batch_size=batch_size)
