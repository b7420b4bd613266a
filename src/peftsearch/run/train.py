"""Train a recipe over seeds and learning rates, and save each result."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from peftsearch.files import new_folder, write_json
from peftsearch.modules.adapter_config import write_provenance
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.recipe import Recipe
from peftsearch.training import stop_signals
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.fine_tuning import TrainingResult, fine_tune
from peftsearch.training.settings import planned_steps


@dataclass(frozen=True)
class TrainingRequest:
    """Trainings of one recipe.

    Args:
        recipe: what is trained.
        seeds: one training each; the first chooses among the rates.
        rates: learning rates, of which the best on validation is taken.
        budget: that the recipe was chosen for, in parameters; None without one.
    """

    recipe: Recipe
    seeds: range
    rates: tuple[float, ...]
    budget: int | None


def train_over_seeds(experiment: Experiment, request: TrainingRequest, folder: Path) -> list[TrainingResult]:
    """Train with every seed; the first seed chooses among the learning rates, if there are several.

    Each training leaves `folder/seed-N` with its log, its result and `trained.json`; finished ones are not repeated.
    """
    seeds, rates = request.seeds, request.rates

    def train(seed: int, rate: float, where: Path) -> TrainingResult:
        return _train_once(experiment, request, where, seed=seed, rate=rate)

    if len(rates) == 1:
        return [train(seed, rates[0], folder / f"seed-{seed}") for seed in seeds]
    best = _choose_rate(experiment, request, folder)
    return [best, *(train(seed, best.learning_rate, folder / f"seed-{seed}") for seed in seeds[1:])]


def _choose_rate(experiment: Experiment, request: TrainingRequest, folder: Path) -> TrainingResult:
    seed, metric = request.seeds[0], experiment.task.selection_metric
    folders = {rate: folder / "grid" / f"{rate:g}" for rate in request.rates}
    found = [_train_once(experiment, request, folders[rate], seed=seed, rate=rate) for rate in request.rates]
    best = max(found, key=lambda result: result.validation[metric])
    chosen = folder / f"seed-{seed}"
    if not (chosen / "trained.json").exists():
        with new_folder(chosen) as new:
            shutil.copytree(folders[best.learning_rate], new, dirs_exist_ok=True)
    return best


def _train_once(
    experiment: Experiment, request: TrainingRequest, folder: Path, *, seed: int, rate: float
) -> TrainingResult:
    record = folder / "trained.json"
    if not record.exists():
        write_json(record, _train_anew(experiment, request, folder, seed=seed, rate=rate).to_dict())
    # Also those that a kill right after the record has left.
    Checkpoints(folder).discard()
    stop_signals.stop_if_asked()
    return TrainingResult.from_dict(read_json(record))


def _train_anew(
    experiment: Experiment, request: TrainingRequest, folder: Path, *, seed: int, rate: float
) -> TrainingResult:
    """Train and save, from the last checkpoint if there is one."""
    recipe, settings = request.recipe, replace(experiment.training, learning_rate=rate)
    steps = planned_steps(len(experiment.train.encoded), settings, settings.num_train_epochs)
    attached = recipe.attach(experiment, seed, steps=steps)
    trained = fine_tune(
        attached.model,
        task_format=experiment.task_format,
        train=experiment.train,
        validation=experiment.validation,
        metric=experiment.task.selection_metric,
        settings=settings,
        phase=Phase(
            f"{recipe.name}, seed {seed}, rate {rate:g}",
            folder,
            seed,
            select_after_step=attached.select_after_step,
            run=experiment.run_name,
        ),
        callbacks=attached.callbacks,
    )
    write_provenance(attached.model, method=recipe.method or recipe.name, budget=request.budget, seed=seed)
    with new_folder(folder / recipe.saved_as) as new:
        attached.model.save_pretrained(str(new))
    return trained
