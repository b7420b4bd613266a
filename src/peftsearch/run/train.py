"""Train one configuration over seeds and learning rates, save each adapter, and prove what was saved."""

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from peftsearch.errors import BudgetError, RunFolderError, TrainingError
from peftsearch.exports.loading import load_adapter
from peftsearch.files import new_folder, write_json
from peftsearch.models.load import load_model
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.modules.provenance import write_provenance
from peftsearch.run.attachment import ADAPTER, MODEL
from peftsearch.run.folder import read_json
from peftsearch.run.recipe import Recipe
from peftsearch.run.workspace import Workspace
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.training import stop_signals
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.evaluation import evaluate
from peftsearch.training.fine_tuning import fine_tune
from peftsearch.training.settings import TrainingSettings, planned_steps

# Largest difference of a score, in points, between the trained model and the one reloaded from disk.
SCORE_TOLERANCE = 0.1


@dataclass(frozen=True)
class TrainedRun:
    """One finished training, as written to `trained.json`.

    Args:
        seed: of the head, the modules, the batches.
        learning_rate: the one used.
        validation: metrics of the kept epoch.
        seconds: wall time of the training.
        num_micro_batches: pieces that each batch was cut into, since memory did not hold it.
    """

    seed: int
    learning_rate: float
    validation: dict[str, float]
    seconds: float
    num_micro_batches: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the file's name for the micro-batches is that of its first version."""
        document = asdict(self)
        return document | {"num_pieces": document.pop("num_micro_batches")}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "TrainedRun":
        """Read what `to_dict` wrote."""
        document = dict(document)
        return cls(num_micro_batches=document.pop("num_pieces", 1), **document)


def train_over_seeds(workspace: Workspace, recipe: Recipe, folder: Path) -> list[TrainedRun]:
    """Train with every seed of the run; the first seed chooses among the learning rates of the grid, if there is one.

    Each training leaves `folder/seed-N` with its log, its result and `trained.json`; finished ones are not repeated.
    """
    config = workspace.config
    seeds = range(config.seed, config.seed + config.seeds)
    rates = config.learning_rates
    if len(rates) == 1:
        return [_train_once(workspace, recipe, folder / f"seed-{seed}", seed, rates[0]) for seed in seeds]
    best = _choose_rate(workspace, recipe, folder, rates)
    rest = [_train_once(workspace, recipe, folder / f"seed-{seed}", seed, best.learning_rate) for seed in seeds[1:]]
    return [best, *rest]


def _choose_rate(workspace: Workspace, recipe: Recipe, folder: Path, rates: list[float]) -> TrainedRun:
    seed, metric = workspace.config.seed, workspace.task.selection_metric
    folders = {rate: folder / "grid" / f"{rate:g}" for rate in rates}
    runs = [_train_once(workspace, recipe, folders[rate], seed, rate) for rate in rates]
    best = max(runs, key=lambda run: run.validation[metric])
    chosen = folder / f"seed-{seed}"
    if not (chosen / "trained.json").exists():
        with new_folder(chosen) as new:
            shutil.copytree(folders[best.learning_rate], new, dirs_exist_ok=True)
    return best


def _train_once(workspace: Workspace, recipe: Recipe, folder: Path, seed: int, rate: float) -> TrainedRun:
    record = folder / "trained.json"
    if not record.exists():
        write_json(record, _train_anew(workspace, recipe, folder, seed, rate).to_dict())
    # Also those that a kill right after the record has left.
    Checkpoints(folder).discard()
    stop_signals.stop_if_asked()
    return TrainedRun.from_dict(read_json(record))


def _train_anew(workspace: Workspace, recipe: Recipe, folder: Path, seed: int, rate: float) -> TrainedRun:
    """Train and save, from the last checkpoint if there is one."""
    settings = replace(workspace.config.training, learning_rate=rate)
    steps = planned_steps(len(workspace.train.encoded), settings, settings.num_train_epochs)
    attached = recipe.attachment.attach(workspace, seed, steps=steps)
    trained = fine_tune(
        attached.model,
        task_format=workspace.task_format,
        train=workspace.train,
        validation=workspace.validation,
        metric=workspace.task.selection_metric,
        settings=settings,
        phase=Phase(
            f"{recipe.name}, seed {seed}, rate {rate:g}",
            folder,
            seed,
            select_after_step=attached.select_after_step,
            run=workspace.config.tracked_name,
        ),
        callbacks=attached.callbacks,
    )
    write_provenance(attached.model, method=recipe.method or recipe.name, budget=recipe.budget, seed=seed)
    with new_folder(folder / recipe.attachment.saved_as) as new:
        attached.model.save_pretrained(str(new))
    return TrainedRun(seed, rate, trained.validation, trained.seconds, trained.num_micro_batches)


@dataclass(frozen=True)
class Proof:
    """What the saved result is, counted and scored after reloading it from disk.

    Args:
        parameters: trained parameters, task head excluded.
        validation: metrics on the validation split.
        test: metrics on the test split, computed here and nowhere else.
    """

    parameters: int
    validation: dict[str, float]
    test: dict[str, float]


@dataclass(frozen=True)
class SavedRun:
    """What it takes to load a saved result: no data.

    Args:
        model: the pretrained model, as the user named it.
        num_labels: outputs of the task head; None for text-to-text.
        problem_type: of the head.
        saved_as: "adapter", or "model" after full fine-tuning.
    """

    model: str
    num_labels: int | None
    problem_type: str | None
    saved_as: str

    @classmethod
    def of(cls, workspace: Workspace, recipe: Recipe) -> "SavedRun":
        """How the results of a recipe are saved."""
        task_format = workspace.task_format
        return cls(
            workspace.config.model, task_format.num_labels, task_format.problem_type, recipe.attachment.saved_as
        )

    @classmethod
    def read(cls, run: Path) -> "SavedRun":
        """How the result of a finished run is saved.

        Raises:
            RunFolderError: if the folder is not a finished run, or of another version.
        """
        document = read_json(run / "results.json")
        try:
            saved = cls(**document["saved"])
        except (KeyError, TypeError) as error:
            raise RunFolderError(
                f"'{run / 'results.json'}' does not say how to load the result ({error}); another version wrote it. "
                "Run it again."
            ) from error
        if saved.saved_as not in (ADAPTER, MODEL):
            raise RunFolderError(f"'{run / 'results.json'}' names '{saved.saved_as}', but results are in {ADAPTER}/.")
        return saved

    def load_base(self) -> PreTrainedModel:
        """A new copy of the pretrained model, with a task head that is not trained."""
        return load_model(self.model, num_labels=self.num_labels, problem_type=self.problem_type).model

    def load(self, folder: Path) -> tuple[nn.Module, int]:
        """Load the result in a folder onto a new copy of the pretrained model.

        Returns:
            the model, and its trained parameters without the task head.
        """
        weights = folder / self.saved_as
        if not weights.is_dir():
            raise RunFolderError(f"'{weights}' does not exist. Is '{folder}' a finished run?")
        if self.saved_as == MODEL:
            loaded = load_model(
                self.model, num_labels=self.num_labels, problem_type=self.problem_type, weights=weights
            )
            return loaded.model, loaded.backbone_parameters
        model = load_adapter(self.load_base(), weights, name=self.model)
        return model, count_peft_parameters(model)


def prove(workspace: Workspace, recipe: Recipe, folder: Path, *, run: TrainedRun, budget: int | None) -> Proof:
    """Reload a saved result, count it against the budget and score it.

    Raises:
        BudgetError: if it has more parameters than the budget.
        TrainingError: if its validation score is not the one that training saw.
    """
    model, parameters = SavedRun.of(workspace, recipe).load(folder)
    if budget is not None and parameters > budget:
        raise BudgetError(f"The adapter in '{folder}' has {parameters:,} parameters, above the budget of {budget:,}.")
    settings = workspace.config.training
    validation = score(workspace, model, workspace.validation, settings)
    metric = workspace.task.selection_metric
    if abs(validation[metric] - run.validation[metric]) > SCORE_TOLERANCE:
        raise TrainingError(
            f"The adapter in '{folder}' scores {validation[metric]:.2f} {metric} after reloading, but scored "
            f"{run.validation[metric]:.2f} in training. The saved files do not hold the trained model."
        )
    return Proof(parameters, validation, score(workspace, model, workspace.test, settings))


def score(workspace: Workspace, model: nn.Module, split: EncodedSplit, settings: TrainingSettings) -> dict[str, float]:
    """Every metric of the task on a split."""
    batch_size = settings.per_device_eval_batch_size
    return evaluate(model, workspace.task_format, split.examples, split.encoded, batch_size=batch_size)


def summarise(metric: str, rows: list[dict[str, float]]) -> dict[str, Any]:
    """Mean and sample deviation of a metric over seeds; the deviation of one seed is None."""
    values = [row[metric] for row in rows]
    return {
        "metric": metric,
        "value": fmean(values),
        "std": stdev(values) if len(values) > 1 else None,
        "per_seed": values,
        "all": {name: fmean(row[name] for row in rows) for name in rows[0]},
    }
