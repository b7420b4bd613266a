"""Ways to choose the learning rate of a recipe: one that is given, the best of a grid, or successive halving."""

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Protocol

from peftsearch.errors import DivergedError
from peftsearch.files import new_folder, write_json
from peftsearch.report.document import read_as
from peftsearch.report.results import RateRound, RateSearch
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.training import Training
from peftsearch.training.fine_tuning import TrainingResult
from peftsearch.training.halving import affordable, cost_in_trainings, rate_of_search, rounds_of, survivors
from peftsearch.training.start_check import FailedStart, next_rate

logger = logging.getLogger(__name__)

# Makes the training at a rate, in a folder.
MakeTraining = Callable[[float, Path], Training]


class RateChoice(Protocol):
    """A way to train at a learning rate that is given or found."""

    def train(self, make: MakeTraining, folder: Path) -> TrainingResult:
        """Train to the end at the rate that is chosen; the result is left in `folder`."""
        ...

    def describe(self) -> str:
        """Say in a clause which rates are tried, and at what cost."""
        ...

    def of_further_seeds(self, first: TrainingResult) -> float:
        """The rate at which further seeds start, after the first one's training."""
        ...


@dataclass(frozen=True)
class GivenRate:
    """The rate that the user names."""

    rate: float

    def train(self, make: MakeTraining, folder: Path) -> TrainingResult:
        return make(self.rate, folder).run()

    def describe(self) -> str:
        return f"{self.rate:g}"

    def of_further_seeds(self, first: TrainingResult) -> float:
        return self.rate


@dataclass(frozen=True)
class RateGrid:
    """The best of several rates, each trained to the end.

    Args:
        rates: ascending.
        metric: on the validation split, larger is better; of equals the lowest rate is taken.
    """

    rates: tuple[float, ...]
    metric: str

    def train(self, make: MakeTraining, folder: Path) -> TrainingResult:
        folders = {rate: folder.parent / "grid" / f"{rate:g}" for rate in self.rates}
        # None of them starts again: another rate of the grid is there already.
        found = [replace(make(rate, folders[rate]), checks_start=False).run() for rate in self.rates]
        best = max(range(len(found)), key=lambda i: found[i].validation[self.metric])
        if not (folder / "trained.json").exists():
            with new_folder(folder) as new:
                shutil.copytree(folders[self.rates[best]], new, dirs_exist_ok=True)
        return found[best]

    def describe(self) -> str:
        return f"the best of {_listed(self.rates)}, each trained to its end"

    def of_further_seeds(self, first: TrainingResult) -> float:
        return first.learning_rate


@dataclass(frozen=True)
class Halving:
    """Successive halving: all rates start, those with the higher validation losses leave, one trains on to its end.

    Trainings are in `rates/` beside the result, and `rates.json` records the losses as they come.

    Args:
        rates: ascending.
        num_steps: optimizer steps of a whole training.
        guess: mean validation loss of guessing; None if there is none.
    """

    rates: tuple[float, ...]
    num_steps: int
    guess: float | None

    def train(self, make: MakeTraining, folder: Path) -> TrainingResult:
        place = folder.parent / "rates"
        trainings = {rate: make(rate, place / f"{rate:g}") for rate in self.rates}
        if not (folder / "trained.json").exists():
            winner = trainings[self._choose(trainings, folder.parent / "rates.json")]
            winner.run()
            winner.folder.rename(folder)
        shutil.rmtree(place, ignore_errors=True)
        return make(self.rates[0], folder).run()

    @property
    def cost(self) -> float:
        """Steps of all rates over those of one training."""
        return cost_in_trainings(self.num_steps, len(self.rates))

    def describe(self) -> str:
        steps = " and ".join(str(end.step) for end in rounds_of(self.num_steps))
        if not steps:
            return f"{rate_of_search(self.rates):g}, since a training of one step leaves nothing to compare"
        return (
            f"{_listed(self.rates)} start, and the worse ones leave after {steps} of {self.num_steps} steps: "
            f"{self.cost:.2f} of one training in all"
        )

    def of_further_seeds(self, first: TrainingResult) -> float:
        return first.learning_rate

    def _choose(self, trainings: Mapping[float, Training], path: Path) -> float:
        rounds, record, going = rounds_of(self.num_steps), LossRecord(path, self.cost), self.rates
        logger.info("Finding the learning rate: %s.", self.describe())
        for end in rounds:
            losses = {rate: record.measure(trainings[rate], end.step) for rate in going}
            kept = survivors(losses, end.keep)
            record.close(end.step, kept)
            for rate in set(going) - set(kept):
                trainings[rate].discard_checkpoints()
            going = kept
        winner = going[0] if rounds else rate_of_search(going)
        self._check_start(trainings[winner], record, rounds[-1].step if rounds else 0)
        return winner

    def _check_start(self, training: Training, record: "LossRecord", step: int) -> None:
        """Start the last training again at another rate if it is no better than guessing."""
        loss = record.losses(step).get(training.rate, math.inf)
        if math.isfinite(loss) and self.guess is not None and not loss < self.guess and not training.has_failed:
            rate = next_rate(self.rates, loss, self.guess)
            training.start_again(FailedStart(training.rate, step, loss, self.guess, rate))
            record.add_cost(step / self.num_steps)


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)


def choose_rates(config: RunConfig, experiment: Experiment) -> RateChoice:
    """Make the way in which every recipe of a run gets its learning rate."""
    match config.learning_rates:
        case []:
            guesses, num_steps = experiment.guess_losses, experiment.num_steps
            rates = affordable(experiment.candidate_rates, num_steps)
            return Halving(rates, num_steps, fmean(guesses) if guesses else None)
        case [rate]:
            return GivenRate(rate)
        case rates:
            return RateGrid(tuple(rates), experiment.task.selection_metric)


class LossRecord:
    """The validation losses of trainings at several rates, in a file that is written after each.

    Args:
        path: of the file, which holds a `RateSearch`.
        cost: steps of all trainings over those of one.
    """

    def __init__(self, path: Path, cost: float):
        self.path, self.cost = path, cost
        self._search = read_rate_search(path) or RateSearch((), cost, 0.0)

    def losses(self, step: int) -> dict[float, float]:
        """Rate -> loss after a step, of the trainings that got there; infinite for one that broke down."""
        found = [end for end in self._search.rounds if end.step == step]
        return {float(rate): math.inf if loss is None else loss for end in found for rate, loss in end.losses.items()}

    def measure(self, training: Training, step: int) -> float:
        """Train up to a step and record the loss; a loss that is recorded is read.

        Returns:
            the loss; infinite for a training whose loss stops being a number.
        """
        known = self.losses(step)
        if training.rate in known:
            return known[training.rate]
        started = time.perf_counter()
        try:
            loss = training.run_until(step)
        except DivergedError as error:
            logger.warning("Rate %g leaves: %s", training.rate, error)
            loss = math.inf
        loss = loss if math.isfinite(loss) else math.inf
        self._write(step, known | {training.rate: loss}, seconds=time.perf_counter() - started)
        return loss

    def add_cost(self, trainings: float) -> None:
        """Record that the last training starts again."""
        self._search = replace(self._search, cost=self.cost + trainings)
        write_json(self.path, asdict(self._search))

    def close(self, step: int, kept: Sequence[float]) -> None:
        """Record which rates go on after a step."""
        self._write(step, self.losses(step), kept=kept)

    def _write(
        self, step: int, losses: Mapping[float, float], *, kept: Sequence[float] = (), seconds: float = 0.0
    ) -> None:
        plain = {f"{rate:g}": loss if math.isfinite(loss) else None for rate, loss in losses.items()}
        end = RateRound(step, plain, tuple(f"{rate:g}" for rate in kept))
        others = [other for other in self._search.rounds if other.step != step]
        rounds = tuple(sorted([*others, end], key=lambda end: end.step))
        self._search = replace(self._search, rounds=rounds, seconds=self._search.seconds + seconds)
        write_json(self.path, asdict(self._search))


def read_rate_search(path: Path) -> RateSearch | None:
    """Read the record of a search for a rate; None if there is none."""
    return read_as(RateSearch, read_json(path)) if path.exists() else None
