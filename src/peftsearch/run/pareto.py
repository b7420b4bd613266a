"""The Pareto front of a search by trials: what no other trial beats in parameters and score."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from peftsearch.files import write_json
from peftsearch.report.results import FrontEntry
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.recipe import FreshModules, Recipe
from peftsearch.run.results import Outcome
from peftsearch.searches.trial_driver import configuration_of, to_row
from peftsearch.searches.trials import Trial, pareto_front

logger = logging.getLogger(__name__)

# Trains and proves a recipe; its results go into the folder of that name in the run folder.
Train = Callable[[Recipe, str], Outcome]


def write_front(trials: Sequence[Trial], folder: Path) -> None:
    """Write `search/pareto.json`: rows of `search/trials.jsonl`, by ascending parameters."""
    numbers = {id(trial): number for number, trial in enumerate(trials)}
    rows = [to_row(numbers[id(trial)], trial) for trial in pareto_front(trials)]
    write_json(folder / "search" / "pareto.json", rows)


def train_front(experiment: Experiment, folder: Path, *, method: str, train: Train) -> tuple[FrontEntry, ...]:
    """Train every configuration of the front over the seeds of the run, from the smallest to the largest.

    Args:
        experiment: gives the metrics.
        folder: the run folder.
        method: that found the front.
        train: trains and proves a recipe.

    Returns:
        an entry for each.
    """
    rows = read_json(folder / "search" / "pareto.json")
    if not rows:
        logger.warning("The search trained no configuration, so there is no Pareto front to train (--pareto).")
    names = [f"pareto/{i}" for i in range(len(rows))]
    outcomes = [
        train(FreshModules(name, method, configuration=configuration_of(row)), name)
        for name, row in zip(names, rows, strict=True)
    ]
    return tuple(
        FrontEntry(
            folder=name,
            trial=row["trial"],
            search_score=row["score"],
            parameters=outcome.parameters,
            modules=len(outcome.configuration),
            learning_rate=outcome.runs[0].learning_rate,
            validation=outcome.validation(experiment),
            test=outcome.test(experiment),
        )
        for name, row, outcome in zip(names, rows, outcomes, strict=True)
    )
