"""Train recipes over seeds and learning rates, save each result and prove it."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from peftsearch.files import write_json
from peftsearch.report.rate_search import RateSearch
from peftsearch.report.result_parts import SeedScores
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.loss_record import read_rate_search
from peftsearch.run.proof import Proof, prove
from peftsearch.run.rate_choice import GivenRate, RateChoice
from peftsearch.run.recipe import Recipe
from peftsearch.run.saved_model import SavedModel
from peftsearch.run.training import Training, best_of
from peftsearch.space import Configuration
from peftsearch.training.fine_tuning import TrainingResult
from peftsearch.training.micro_batches import memory_notes

# In the folder of the trainings of a configuration.
_FOUND_RATE = "found_rate.json"


@dataclass(frozen=True)
class TrainedConfiguration:
    """A configuration trained with one seed or several, each result proven.

    Args:
        configuration: of the seed with the best validation score; only AdaLoRA's differ between seeds.
        runs: one training a seed.
        proofs: the proof of each.
        rate_search: for the learning rate; None where it was given.
    """

    configuration: Configuration
    runs: list[TrainingResult]
    proofs: list[Proof]
    rate_search: RateSearch | None = None

    @property
    def parameters(self) -> int:
        """Trained parameters as counted after reloading, task head excluded; the most over the seeds."""
        return max(proof.parameters for proof in self.proofs)

    @property
    def seconds(self) -> float:
        """Mean wall time of one training."""
        return sum(run.seconds for run in self.runs) / len(self.runs)

    @property
    def seconds_of_one(self) -> float:
        """Mean wall time of one training, without starts that were in vain."""
        return fmean(run.seconds - (run.failed_start.seconds if run.failed_start else 0.0) for run in self.runs)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on the predictions of each seed's result."""
        return tuple(f"Seed {run.seed}: {note}" for run, proof in zip(self.runs, self.proofs) for note in proof.notes)

    def memory_notes(self, batch_size: int) -> tuple[str, ...]:
        """Notes for the user on trainings whose batches were split since memory did not hold them."""
        return memory_notes("training", max(run.num_micro_batches for run in self.runs), batch_size)

    def best(self, metric: str) -> int:
        """Index of the seed with the best validation score; the first of equals."""
        return best_of(self.runs, metric)

    def measured(self, experiment: Experiment) -> dict[str, Any]:
        """The size, rate and scores that every entry of `results.json` for a trained configuration has."""
        return {
            "modules": len(self.configuration),
            "parameters": self.parameters,
            "learning_rate": self.runs[0].learning_rate,
            "validation": self.validation(experiment),
            "test": self.test(experiment),
        }

    @property
    def validation_loss(self) -> float | None:
        """Mean loss on the validation split over the seeds; None where one was not computed."""
        losses = [run.validation_loss for run in self.runs if run.validation_loss is not None]
        return fmean(losses) if len(losses) == len(self.runs) else None

    def validation(self, experiment: Experiment) -> SeedScores:
        """Scores on the validation split in the task's reported metric."""
        return SeedScores.of(experiment.task.reported_metric, [proof.validation for proof in self.proofs])

    def test(self, experiment: Experiment) -> SeedScores:
        """Scores on the test split in the task's reported metric."""
        by_entity = [proof.by_entity for proof in self.proofs]
        return SeedScores.of(experiment.task.reported_metric, [proof.test for proof in self.proofs], by_entity)


@dataclass(frozen=True)
class TrainingStage:
    """Trains and proves the recipes of one run.

    Args:
        experiment: gives data and model.
        folder: the run folder.
        seeds: one training each; the first chooses among the rates.
        rate_choice: chooses the learning rate of each recipe.
        budget: of the modules of every recipe, in parameters; None without one.
    """

    experiment: Experiment
    folder: Path
    seeds: range
    rate_choice: RateChoice
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
        return TrainedConfiguration(configuration, runs, proofs, read_rate_search(folder / "rates.json"))

    def _train_over_seeds(self, recipe: Recipe, folder: Path) -> list[TrainingResult]:
        first, *others = self.seeds
        rate_choice = read_found_rate(folder) or self.rate_choice
        best = rate_choice.train(
            lambda rate, place: self._training(recipe, place, seed=first, rate=rate), folder / f"seed-{first}"
        )
        rate = rate_choice.of_further_seeds(best)
        return [
            best,
            *(self._training(recipe, folder / f"seed-{seed}", seed=seed, rate=rate).run() for seed in others),
        ]

    def _training(self, recipe: Recipe, folder: Path, *, seed: int, rate: float) -> Training:
        return Training(self.experiment, recipe, folder, seed, rate, self.budget)


def write_found_rate(folder: Path, rate: float) -> None:
    """Say at which rate a search has trained the first seed so far, which then goes on from there.

    Args:
        folder: for the trainings of the configuration.
        rate: learning rate of LoRA.
    """
    write_json(folder / _FOUND_RATE, {"learning_rate": rate})


def read_found_rate(folder: Path) -> GivenRate | None:
    """Read what `write_found_rate` wrote; None if the search left the rate open."""
    path = folder / _FOUND_RATE
    return GivenRate(read_json(path)["learning_rate"]) if path.exists() else None
