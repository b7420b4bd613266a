"""The Pareto front of a search by trials: what no other trial beats in parameters and score."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from peftsearch.files import write_json
from peftsearch.run.attachment import FreshModules
from peftsearch.run.folder import read_json
from peftsearch.run.recipe import Recipe
from peftsearch.run.results import Outcome
from peftsearch.run.workspace import Workspace
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


def train_front(workspace: Workspace, folder: Path, *, train: Train) -> list[dict[str, Any]]:
    """Train every configuration of the front over the seeds of the run, from the smallest to the largest.

    Returns:
        for each, what `results.json` says of it.
    """
    rows = read_json(folder / "search" / "pareto.json")
    if not rows:
        logger.warning("The search trained no configuration, so there is no Pareto front to train (--pareto).")
    names = [f"pareto/{i}" for i in range(len(rows))]
    method = workspace.config.method_name
    outcomes = [
        train(Recipe(name, FreshModules(configuration_of(row)), method=method), name)
        for name, row in zip(names, rows, strict=True)
    ]
    return [
        {
            "folder": name,
            "trial": row["trial"],
            "search_score": row["score"],
            "parameters": outcome.parameters,
            "modules": len(outcome.configuration),
            "learning_rate": outcome.runs[0].learning_rate,
            **outcome.scores(workspace),
        }
        for name, row, outcome in zip(names, rows, outcomes, strict=True)
    ]
