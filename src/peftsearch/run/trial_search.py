"""Search with a method that trains whole configurations from scratch and compares their scores."""

import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import Subset

from peftsearch.run.experiment import Experiment
from peftsearch.run.pareto import write_front
from peftsearch.run.recipe import FreshModules
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import SearchResult
from peftsearch.searches.trial_driver import run_trials
from peftsearch.searches.trials import Fidelity, Problem, Proposal, Trial
from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.fine_tuning import FineTuning


def search_by_trials(experiment: Experiment, request: SearchRequest, folder: Path) -> SearchResult:
    """Train and score proposals of the method until it has enough, and record each.

    Arguments and result are those of `search_configuration`.
    """
    started = time.perf_counter()
    proposer = request.load()(make_problem(experiment), request.settings)
    scorer = TrainingScorer(experiment, folder / "search" / "trials")
    record = folder / "search" / "trials.jsonl"
    trials = run_trials(proposer, score=scorer, space=experiment.space, record=record)
    write_front(trials, folder)
    scorer.discard_checkpoints(len(trials))
    # Trials of an interrupted search count with the time that they took then.
    seconds = max(time.perf_counter() - started, sum(trial.seconds for trial in trials))
    return SearchResult(proposer.results(trials), len(trials), seconds, failure_notes(trials))


def make_problem(experiment: Experiment) -> Problem:
    """Make the view of an experiment that a method gets."""
    budgets = tuple(sorted(set(experiment.usable_budgets().values())))
    return Problem(experiment.space, experiment.make_encoding(), budgets, experiment.seed)


def failure_notes(trials: list[Trial]) -> tuple[str, ...]:
    """A note for the user, if trials failed."""
    failed = [trial for trial in trials if trial.score is None]
    if not failed:
        return ()
    return (f"{len(failed)} of {len(trials)} trials failed and were ranked last. The first: {failed[0].error}",)


class TrainingScorer:
    """Train a proposal as any configuration is trained, and score its best epoch on the validation split.

    Args:
        experiment: gives data, model and metric.
        folder: each trial logs in a folder below, named by its number.
    """

    def __init__(self, experiment: Experiment, folder: Path):
        self.experiment, self.folder = experiment, folder

    def __call__(self, proposal: Proposal, number: int) -> float:
        """Score the trial of that number, counted from 0: the selection metric, of which the larger is better."""
        self.discard_checkpoints(number)
        experiment, settings = self.experiment, self.experiment.search_training
        recipe = FreshModules(f"trial {number + 1}", configuration=proposal.configuration)
        metric = experiment.task.selection_metric
        epochs = proposal.fidelity.epochs or settings.num_train_epochs
        training = FineTuning(
            recipe.attach(experiment, experiment.seed, steps=0).model,
            task_format=experiment.task_format,
            train=share_of(experiment.splits.train.encoded, proposal.fidelity, experiment.seed),
            validation=experiment.splits.validation,
            metric=metric,
            settings=replace(settings, num_train_epochs=epochs, report_to="none"),
            phase=Phase(recipe.name, self._folder_of(number), experiment.seed),
        )
        return METRICS[metric].merit(training.run().validation[metric])

    def discard_checkpoints(self, number: int) -> None:
        """Delete the checkpoints of recorded trials.

        Args:
            number: of the first trial that is not recorded, counted from 0.
        """
        for earlier in range(number):
            Checkpoints(self._folder_of(earlier)).discard()

    def _folder_of(self, number: int) -> Path:
        return self.folder / str(number)


def share_of(train: EncodedDataset, fidelity: Fidelity, seed: int) -> EncodedDataset | Subset:
    """Draw a random share of the training examples, the same for every trial; at least one example.

    Args:
        train: all examples.
        fidelity: has the share, in (0, 1].
        seed: of the draw.
    """
    if fidelity.share == 1:
        return train
    count = max(1, math.ceil(fidelity.share * len(train)))
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    return Subset(train, rows)
