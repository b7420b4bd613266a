"""Ways to choose the learning rate of a recipe: one that is given, the best of a grid, or successive halving."""

import logging
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peftsearch.files import new_folder
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.loss_record import LossRecord
from peftsearch.run.training import Training, best_of
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.training.fine_tuning import TrainingResult
from peftsearch.training.halving import (
    MOST_HIGHER,
    Round,
    affordable,
    are_close,
    close_round,
    cost_in_trainings,
    highest_cost,
    keeps_all,
    leads,
    next_higher,
    rate_of_search,
    rounds_of,
    survivors,
)
from peftsearch.training.start_check import check_step

logger = logging.getLogger(__name__)

# Makes the training at a rate, in a folder.
MakeTraining = Callable[[float, Path], Training]


class RateChoice(ABC):
    """A way to train at a learning rate that is given or found."""

    @abstractmethod
    def train(self, make: MakeTraining, folder: Path) -> TrainingResult:
        """Train to the end at the rate that is chosen; the result is left in `folder`."""

    @abstractmethod
    def describe(self) -> str:
        """Say in a clause which rates are tried, and at what cost."""

    def of_further_seeds(self, first: TrainingResult) -> float:
        """The rate at which further seeds start, after the first one's training: by default the rate of that."""
        return first.learning_rate


@dataclass(frozen=True)
class GivenRate(RateChoice):
    """The rate that the user names."""

    rate: float

    def train(self, make: MakeTraining, folder: Path) -> TrainingResult:
        return make(self.rate, folder).run()

    def describe(self) -> str:
        return f"{self.rate:g}"

    def of_further_seeds(self, first: TrainingResult) -> float:
        return self.rate


@dataclass(frozen=True)
class RateGrid(RateChoice):
    """The best of several rates, each trained to the end.

    Args:
        rates: ascending.
        metric: on the validation split; of equals the lowest rate is taken.
    """

    rates: tuple[float, ...]
    metric: str

    def train(self, make: MakeTraining, folder: Path) -> TrainingResult:
        folders = {rate: folder.parent / "grid" / f"{rate:g}" for rate in self.rates}
        # None of them starts again: another rate of the grid is there already.
        found = [replace(make(rate, folders[rate]), checks_start=False).run() for rate in self.rates]
        best = best_of(found, self.metric)
        if not (folder / "trained.json").exists():
            with new_folder(folder) as new:
                shutil.copytree(folders[self.rates[best]], new, dirs_exist_ok=True)
        return found[best]

    def describe(self) -> str:
        return f"the best of {_listed(self.rates)}, each trained to its end"


@dataclass(frozen=True)
class Halving(RateChoice):
    """Successive halving: all rates start, those with the higher validation losses leave, one trains on to its end.

    Where the highest rate leads after the first round, higher ones are tried up to there.

    Trainings are in `rates/` beside the result, and `rates.json` records the losses as they come.

    Args:
        rates: ascending.
        num_steps: optimizer steps of a whole training.
    """

    rates: tuple[float, ...]
    num_steps: int

    def train(self, make: MakeTraining, folder: Path) -> TrainingResult:
        place = folder.parent / "rates"

        def at(rate: float) -> Training:
            return make(rate, place / f"{rate:g}")

        if not (folder / "trained.json").exists():
            winner = at(self._choose(at, folder.parent / "rates.json"))
            winner.run()
            winner.folder.rename(folder)
        shutil.rmtree(place, ignore_errors=True)
        return make(self.rates[0], folder).run()

    @property
    def cost(self) -> float:
        """Steps of all rates over those of one training."""
        return cost_in_trainings(self.num_steps, len(self.rates))

    @property
    def _further(self) -> Round | None:
        """The round of two rates that are close after the last one."""
        return close_round(self.num_steps, len(self.rates))

    def describe(self) -> str:
        steps = " and ".join(str(end.step) for end in rounds_of(self.num_steps))
        if not steps:
            return f"{rate_of_search(self.rates):g}, since a training of one step leaves nothing to compare"
        close = f" ({self._further.step} where two are close)" if self._further else ""
        most = highest_cost(self.num_steps, len(self.rates))
        at_most = f", {most:.2f} at most" if most > self.cost else ""
        higher = f"; {self._first_step} steps more for each higher rate, where {self.rates[-1]:g} leads"
        return (
            f"{_listed(self.rates)} start, and the worse ones leave after {steps} of {self.num_steps} steps{close}: "
            f"{self.cost:.2f} of one training in all{at_most}{higher if self._tries_higher else ''}"
        )

    @property
    def _first_step(self) -> int:
        """Optimizer steps of the first round."""
        return rounds_of(self.num_steps)[0].step

    @property
    def _tries_higher(self) -> bool:
        """Whether there is a round after the first one, in which a higher rate can prove itself."""
        return len(rounds_of(self.num_steps)) > 1

    def _choose(self, at: Callable[[float], Training], path: Path) -> float:
        rounds, further = rounds_of(self.num_steps), self._further
        record, going, taken, step = LossRecord(path, self.cost), self.rates, 0, 0
        experiment = at(going[0]).experiment
        # The same in each round, since a rate is judged by its lowest loss of all of them.
        judges = experiment.judges(after=rounds[-1].step if rounds else 0)
        guess, before = experiment.guess_loss_on(judges), {}
        logger.info("Finding the learning rate: %s.", self.describe())
        for end in (*rounds, *((further,) if further else ())):
            if len(going) == 1:
                break
            for rate in going:
                record.measure(at(rate), end.step, judged_on=judges)
            taken, step = taken + len(going) * (end.step - step), end.step
            found = record.lowest(step, guess=guess)
            lowest = {rate: found[rate] for rate in going}
            if not any(map(math.isfinite, lowest.values())) and (others := _without(before, going)):
                # All that went on have broken down since: the best of those that left starts from the beginning.
                going, step = survivors(others, 1), 0
                break
            tried = self._try_higher(at, record, lowest, judges) if end == rounds[0] else {}
            taken += len(tried) * step
            losses = before = _up_to_the_best(lowest, tried)
            kept = survivors(losses, self._num_kept(losses, end))
            record.close(step, kept)
            for rate in {*lowest, *tried} - set(kept):
                at(rate).discard_checkpoints()
            going = kept
        winner = at(going[0] if rounds else rate_of_search(going))
        if not winner.has_failed:
            record.set_cost((taken + self.num_steps - step) / self.num_steps)
            self._check_start(winner, record, step, guess=guess)
        return winner.rate

    def _try_higher(
        self, at: Callable[[float], Training], record: LossRecord, lowest: Mapping[float, float], judges: EncodedSplit
    ) -> dict[float, float]:
        """Try higher rates up to the end of the first round while the highest one so far leads: rate -> loss."""
        tried: dict[float, float] = {}
        while self._tries_higher and len(tried) < MOST_HIGHER:
            known = {**lowest, **tried}
            highest = max(known)
            if not leads(highest, known):
                break
            rate = next_higher(highest)
            logger.info("%g has the lowest loss after %d steps: %g is tried too.", highest, self._first_step, rate)
            tried[rate] = record.measure(at(rate), self._first_step, judged_on=judges)
        return tried

    def _num_kept(self, lowest: Mapping[float, float], end: Round) -> int:
        """How many rates go on after a round: more than usual where their losses hardly differ."""
        rounds = rounds_of(self.num_steps)
        if end == rounds[0] and keeps_all(lowest, self.num_steps):
            return len(lowest)
        if end == rounds[-1] and len(lowest) == 2 and self._further is not None and are_close(lowest):
            return 2
        return end.keep

    def _check_start(self, training: Training, record: LossRecord, step: int, *, guess: float | None) -> None:
        """Start the last training again at another rate if it is no better than guessing."""
        if guess is None or step < check_step(self.num_steps):
            # Before that step the training itself looks.
            return
        loss = record.lowest(step, guess=guess).get(training.rate, math.inf)
        if math.isfinite(loss) and not loss < guess:
            # First, since the cost is set anew and not added to: a kill between the two does not lose it.
            record.set_cost(record.cost + step / self.num_steps)
            tried = sorted({*self.rates, *record.losses(rounds_of(self.num_steps)[0].step)})
            training.start_again(step, loss, guess, tried=tried, some_too_high=record.some_too_high(guess))


def _up_to_the_best(lowest: Mapping[float, float], tried: Mapping[float, float]) -> dict[float, float]:
    """The losses of the rates that started, and of the higher ones up to the best: they go on only if one leads."""
    losses = {**lowest, **tried}
    best = min(losses, key=lambda rate: losses[rate])
    return {rate: loss for rate, loss in losses.items() if rate in lowest or rate <= best}


def _without(losses: Mapping[float, float], rates: Sequence[float]) -> dict[float, float]:
    """The losses of other rates that did not break down."""
    return {rate: loss for rate, loss in losses.items() if rate not in rates and math.isfinite(loss)}


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)


def choose_rates(config: RunConfig, experiment: Experiment) -> RateChoice:
    """Make the way in which every recipe of a run gets its learning rate."""
    match config.learning_rates:
        case []:
            return Halving(affordable(experiment.candidate_rates, experiment.num_steps), experiment.num_steps)
        case [rate]:
            return GivenRate(rate)
        case rates:
            return RateGrid(tuple(rates), experiment.task.selection_metric)
