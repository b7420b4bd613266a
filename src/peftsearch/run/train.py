"""Train recipes over seeds and learning rates, save each result and prove it."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from peftsearch.files import new_folder, write_json
from peftsearch.modules.adapter_config import write_provenance
from peftsearch.report.results import SeedScores
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.proof import Proof, prove
from peftsearch.run.recipe import Recipe
from peftsearch.run.saved_model import SavedModel
from peftsearch.space import Configuration
from peftsearch.training import stop_signals
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.fine_tuning import TrainingResult, fine_tune
from peftsearch.training.micro_batches import memory_notes
from peftsearch.training.settings import planned_steps


@dataclass(frozen=True)
class TrainedConfiguration:
    """A configuration trained with one seed or several, each result proven.

    Args:
        configuration: of the seed with the best validation score; only AdaLoRA's differ between seeds.
        runs: one training a seed.
        proofs: the proof of each.
    """

    configuration: Configuration
    runs: list[TrainingResult]
    proofs: list[Proof]

    @property
    def parameters(self) -> int:
        """Trained parameters as counted after reloading, task head excluded; the most over the seeds."""
        return max(proof.parameters for proof in self.proofs)

    @property
    def seconds(self) -> float:
        """Mean wall time of one training."""
        return sum(run.seconds for run in self.runs) / len(self.runs)

    def memory_notes(self, batch_size: int) -> tuple[str, ...]:
        """Notes for the user on trainings whose batches were split since memory did not hold them."""
        return memory_notes("training", max(run.num_micro_batches for run in self.runs), batch_size)

    def best(self, metric: str) -> int:
        """Index of the seed with the best validation score; the first of equals."""
        return best_of(self.runs, metric)

    def validation(self, experiment: Experiment) -> SeedScores:
        """Scores on the validation split in the task's reported metric."""
        return SeedScores.of(experiment.task.reported_metric, [proof.validation for proof in self.proofs])

    def test(self, experiment: Experiment) -> SeedScores:
        """Scores on the test split in the task's reported metric."""
        return SeedScores.of(experiment.task.reported_metric, [proof.test for proof in self.proofs])


def best_of(runs: list[TrainingResult], metric: str) -> int:
    """Index of the training with the best validation score; the first of equals."""
    return max(range(len(runs)), key=lambda i: runs[i].validation[metric])


@dataclass(frozen=True)
class TrainingStage:
    """Trains and proves the recipes of one run.

    Args:
        experiment: gives data and model.
        folder: the run folder.
        seeds: one training each; the first chooses among the rates.
        rates: learning rates, of which each recipe gets its best on validation.
        budget: of every recipe, in parameters; None without one.
    """

    experiment: Experiment
    folder: Path
    seeds: range
    rates: tuple[float, ...]
    budget: int | None

    def train(self, recipe: Recipe, name: str) -> TrainedConfiguration:
        """Train a recipe with every seed and prove each result.

        Each training leaves a folder `seed-N` with its log, its result and `trained.json`; finished ones are not
        repeated.

        Args:
            recipe: is trained.
            name: of the folder for its trainings, within the run folder.

        Raises:
            BudgetError: for a result with more parameters than the budget.
            TrainingError: for a result that scores otherwise than in its training.
        """
        experiment, folder = self.experiment, self.folder / name
        runs = self._train_over_seeds(recipe, folder)
        places = [folder / f"seed-{run.seed}" for run in runs]
        saved = SavedModel.of(experiment, recipe.saved_as)
        proofs = [
            prove(saved, place, experiment, trained=run, budget=self.budget)
            for place, run in zip(places, runs, strict=True)
        ]
        best = best_of(runs, experiment.task.selection_metric)
        configuration = recipe.read_configuration(places[best] / recipe.saved_as, experiment)
        return TrainedConfiguration(configuration, runs, proofs)

    def _train_over_seeds(self, recipe: Recipe, folder: Path) -> list[TrainingResult]:
        first, *others = self.seeds
        if len(self.rates) == 1:
            best = self._train_once(recipe, folder / f"seed-{first}", seed=first, rate=self.rates[0])
        else:
            best = self._choose_rate(recipe, folder)
        rate = best.learning_rate
        return [best, *(self._train_once(recipe, folder / f"seed-{seed}", seed=seed, rate=rate) for seed in others)]

    def _choose_rate(self, recipe: Recipe, folder: Path) -> TrainingResult:
        """Train the first seed at every rate and keep the best result as that seed's."""
        seed = self.seeds[0]
        folders = {rate: folder / "grid" / f"{rate:g}" for rate in self.rates}
        found = [self._train_once(recipe, folders[rate], seed=seed, rate=rate) for rate in self.rates]
        best = found[best_of(found, self.experiment.task.selection_metric)]
        chosen = folder / f"seed-{seed}"
        if not (chosen / "trained.json").exists():
            with new_folder(chosen) as new:
                shutil.copytree(folders[best.learning_rate], new, dirs_exist_ok=True)
        return best

    def _train_once(self, recipe: Recipe, folder: Path, *, seed: int, rate: float) -> TrainingResult:
        """Train, or read the record of a training that is finished."""
        record = folder / "trained.json"
        if not record.exists():
            write_json(record, self._train_anew(recipe, folder, seed=seed, rate=rate).to_dict())
        # Also those that a kill right after the record has left.
        Checkpoints(folder).discard()
        stop_signals.stop_if_asked()
        return TrainingResult.from_dict(read_json(record))

    def _train_anew(self, recipe: Recipe, folder: Path, *, seed: int, rate: float) -> TrainingResult:
        """Train and save, from the last checkpoint if there is one."""
        experiment, settings = self.experiment, replace(self.experiment.training, learning_rate=rate)
        steps = planned_steps(len(experiment.train.encoded), settings, settings.num_train_epochs)
        attached = recipe.attach(experiment, seed, steps=steps)
        trained = fine_tune(
            attached.model,
            task_format=experiment.task_format,
            train=experiment.train.encoded,
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
        write_provenance(attached.model, method=recipe.method or recipe.name, budget=self.budget, seed=seed)
        with new_folder(folder / recipe.saved_as) as new:
            attached.model.save_pretrained(str(new))
        return trained
