"""Search with a method that trains whole configurations from scratch and compares their scores."""

import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import Subset

from peftsearch.modules.attach import attach
from peftsearch.run.pareto import write_front
from peftsearch.run.searched import Searched
from peftsearch.run.workspace import Scope, Workspace
from peftsearch.searches.method import METHODS
from peftsearch.searches.trial_driver import run_trials
from peftsearch.searches.trials import Fidelity, Problem, Proposal, Trial
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.fine_tuning import fine_tune


def search_by_trials(workspace: Workspace, scope: Scope, folder: Path) -> Searched:
    """Propose, train, score and record until the method has enough."""
    started = time.perf_counter()
    config = workspace.config
    proposer = METHODS[config.method_name].load()(make_problem(workspace, scope), config.method)
    scorer = TrainingScorer(workspace, scope, folder / "search" / "trials")
    trials = run_trials(proposer, score=scorer, space=scope.space, record=folder / "search" / "trials.jsonl")
    write_front(trials, folder)
    scorer.discard_checkpoints(len(trials))
    # Trials of an interrupted search count with the time that they took then.
    seconds = max(time.perf_counter() - started, sum(trial.seconds for trial in trials))
    return Searched(proposer.results(trials), len(trials), seconds, failure_notes(trials))


def make_problem(workspace: Workspace, scope: Scope) -> Problem:
    """What the method may know."""
    budgets = tuple(sorted(set(scope.usable_budgets().values())))
    return Problem(scope.space, scope.make_encoding(), budgets, workspace.config.seed)


def failure_notes(trials: list[Trial]) -> tuple[str, ...]:
    """Say so where trials failed."""
    failed = [trial for trial in trials if trial.score is None]
    if not failed:
        return ()
    return (f"{len(failed)} of {len(trials)} trials failed and were ranked last. The first: {failed[0].error}",)


class TrainingScorer:
    """Train a proposal as any configuration is trained, and score its best epoch on the validation split.

    Args:
        folder: each trial logs in a folder below, named by its number.
    """

    def __init__(self, workspace: Workspace, scope: Scope, folder: Path):
        self.workspace, self.scope, self.folder = workspace, scope, folder

    def __call__(self, proposal: Proposal, number: int) -> float:
        self.discard_checkpoints(number)
        workspace, config = self.workspace, self.workspace.config
        loaded = workspace.fresh_model(config.seed)
        model = attach(
            loaded.model,
            proposal.configuration,
            sites=self.scope.sites,
            head=loaded.head,
            task_type=workspace.task_type,
        )
        epochs = proposal.fidelity.epochs or config.training.num_train_epochs
        metric = workspace.task.selection_metric
        trained = fine_tune(
            model,
            task_format=workspace.task_format,
            train=share_of(workspace.train, proposal.fidelity, config.seed),
            validation=workspace.validation,
            metric=metric,
            settings=replace(config.training, num_train_epochs=epochs, report_to="none"),
            phase=Phase(f"trial {number + 1}", self._folder_of(number), config.seed),
        )
        return trained.validation[metric]

    def discard_checkpoints(self, number: int) -> None:
        """Delete the checkpoints of trials that are on record.

        Args:
            number: of the first trial that is not.
        """
        for earlier in range(number):
            Checkpoints(self._folder_of(earlier)).discard()

    def _folder_of(self, number: int) -> Path:
        return self.folder / str(number)


def share_of(train: EncodedSplit, fidelity: Fidelity, seed: int) -> EncodedSplit:
    """A random share of the training examples, the same for every trial; at least one example."""
    if fidelity.share == 1:
        return train
    count = max(1, math.ceil(fidelity.share * len(train.encoded)))
    rows = torch.randperm(len(train.encoded), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    return EncodedSplit(train.examples, Subset(train.encoded, rows))
