"""The race within one budget: lanes train side by side, the worse ones leave, the winner's training goes on.

Lanes train in `search/lanes/BUDGET/` of the run folder, and `search/lanes.jsonl` holds their losses, so that a race
that was stopped goes on with the lane that was running.
"""

import logging
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from peftsearch.errors import ConfigurationError, TrainingError
from peftsearch.files import append_row, cut_rows, flush, new_folder, read_rows
from peftsearch.methods.race.elimination import Rung, Schedule, survivors
from peftsearch.methods.race.pool import Entrant, Pool
from peftsearch.methods.race.rates import RaceRates
from peftsearch.methods.race.settings import RaceSettings
from peftsearch.report.wording import count
from peftsearch.run.experiment import Experiment
from peftsearch.run.judging import Judge, Judged
from peftsearch.run.race_lane import Lane, by_name
from peftsearch.run.recipe import found_modules
from peftsearch.run.search_result import SearchResult, start_folder, training_folder
from peftsearch.run.train import write_found_rate
from peftsearch.run.training import Training
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.training import stop_signals
from peftsearch.training.halving import rate_of_search
from peftsearch.training.start_check import check_step, is_too_high

logger = logging.getLogger(__name__)


def race_rates(experiment: Experiment, settings: RaceSettings) -> RaceRates:
    """The learning rates: those that the user names, or rates each twice the next lower one.

    They lie closer than those of a search for the rate of one training: what pursuit finds ended with a loss of 0.400
    at 2e-2, and of 0.430 and 0.438 at 1e-2 and 3e-2 (docs/results.md).
    """
    first = rate_of_search(experiment.rates)
    if experiment.given_rates:
        return RaceRates.of_grid(first, experiment.given_rates)
    return RaceRates.doubling(first, settings.rates)


def race_schedule(experiment: Experiment, settings: RaceSettings, count: int) -> Schedule:
    """The schedule of a race in which as many entrants of a pool of so many start as the cost allows."""
    return Schedule(experiment.num_steps, count, race_rates(experiment, settings).count).within(settings.cost)


def require_entrants(names: Sequence[str], pool: Pool, budget: int) -> None:
    """Check that something takes part.

    Args:
        names: of what does.
        pool: says what was left out.
        budget: in parameters.

    Raises:
        ConfigurationError: if nothing does.
    """
    if not names:
        reasons = "".join(f" {name}: {reason}." for name, reason in pool.left_out(budget).items())
        raise ConfigurationError(
            f"Nothing takes part in the race within {budget:,} parameters.{reasons} Name other searches, recipes or "
            "draws in --method.searches, --method.recipes and --method.draws."
        )


def warn_of_cost(names: Sequence[str], cost: float) -> None:
    """Tell what does not start since the race would cost too much."""
    if names:
        logger.warning("Left out, so that the race costs at most %g trainings: %s.", cost, ", ".join(names))


def _names_of(lanes: Mapping[str, Lane]) -> dict[str, str]:
    """Lane -> name of its configuration."""
    return {name: lane.entrant.name for name, lane in lanes.items()}


def _mean(losses: Sequence[float]) -> float:
    """The mean loss of a lane; infinite for one that broke down."""
    return fmean(losses) if losses else math.inf


@dataclass(frozen=True)
class Race:
    """The race within one budget.

    Args:
        experiment: gives model and data.
        settings: of the method.
        pool: the entrants.
        folder: the run folder.
        budget: in parameters.
        proposed: searching method -> what it found.
        judge: trains lanes up to a step.
    """

    experiment: Experiment
    settings: RaceSettings
    pool: Pool
    folder: Path
    budget: int
    proposed: Mapping[str, SearchResult]
    judge: Judge

    def run(self) -> Lane:
        """Run all rungs, or those that an interrupted search has left, and put the winner's training in its place."""
        cut_rows(self._record)
        entrants = self._entrants()
        schedule = race_schedule(self.experiment, self.settings, len(entrants))
        rates = race_rates(self.experiment, self.settings).at_most(schedule.num_rates)
        lanes = by_name(self._lane(entrant, rates.first) for entrant in entrants[: schedule.num_lanes])
        self._announce(schedule, tuple(lanes), [entrant.name for entrant in entrants[schedule.num_lanes :]])
        going, taken, at = lanes, 0, 0
        for rung in schedule.rungs:
            losses = self._measure_all(going, rung)
            taken, at = taken + len(going) * (rung.step - at), rung.step
            if rung.retried:
                joined, found = self._try_rates(lanes, losses, rung, rates)
                lanes, losses = lanes | joined, losses | found
                taken += len(joined) * rung.step
            spare = self.settings.cost * schedule.num_steps - taken - schedule.steps_left(at=at, going=rung.keep + 1)
            # The last step of each lane that leaves is rounded up, by less than one.
            may_keep_more = rung.keep == 1 and rung != schedule.rungs[-1] and spare > -len(lanes)
            kept = survivors(losses, rung.keep, configurations=_names_of(lanes), may_keep_more=may_keep_more)
            going = {name: lanes[name] for name in kept}
            self._let_go(lanes, losses, going)
            logger.info(
                "After %d of %d steps %d of %d lanes go on: %s.",
                at,
                schedule.num_steps,
                len(going),
                len(losses),
                ", ".join(going),
            )
            if len(going) == 1 and not any(later.retried for later in schedule.rungs if later.step > at):
                break
        winner = next(iter(going.values()))
        self._finish(
            winner, schedule.rungs, tried=by_name(lane for lane in lanes.values() if lane.entrant == winner.entrant)
        )
        return winner

    def _try_rates(
        self, lanes: Mapping[str, Lane], losses: Mapping[str, Sequence[float]], rung: Rung, rates: RaceRates
    ) -> tuple[dict[str, Lane], dict[str, list[float]]]:
        """Find a rate with the best lane, and start the next best there: the lanes that joined, and their losses."""
        best, *rivals = survivors(losses, rung.retried, configurations=_names_of(lanes), may_keep_more=False)
        joined: dict[str, Lane] = {}
        found: dict[str, list[float]] = {}
        means = {rates.first: _mean(losses[best])}
        while (rate := rates.next(means)) is not None:
            lane = self._lane(lanes[best].entrant, rate)
            joined[lane.name] = lane
            found |= self._measure_all({lane.name: lane}, rung)
            means[rate] = _mean(found[lane.name])
        rate = min(means, key=means.__getitem__)
        if rate != rates.first:
            again = by_name(self._lane(lanes[name].entrant, rate) for name in rivals)
            joined, found = joined | again, found | self._measure_all(again, rung)
        return joined, found

    def _announce(self, schedule: Schedule, lanes: Sequence[str], left_out: Sequence[str]) -> None:
        """Log what starts, its cost, and what does not start and why."""
        start = f"{count(len(lanes), 'lane')} {'starts' if len(lanes) == 1 else 'start'}"
        logger.info("%s, at a cost of %.2f of one training: %s.", start, schedule.cost, ", ".join(lanes))
        warn_of_cost(left_out, self.settings.cost)
        for name, reason in self.pool.left_out(self.budget).items():
            logger.warning("%s takes no part in the race: %s", name, reason)

    def steps_beside(self, winner: Lane) -> int:
        """Optimizer steps of all lanes but the winner's."""
        last: dict[str, int] = {}
        for row in self._rows():
            last[row["lane"]] = row["step"]
        return sum(step for name, step in last.items() if name != winner.name)

    def seconds_beside(self, winner: Lane) -> float:
        """Wall time of all lanes but the winner's."""
        return sum(row["seconds"] for row in self._rows() if row["lane"] != winner.name)

    def _entrants(self) -> list[Entrant]:
        """The pool within the budget, the most wanted first.

        Raises:
            ConfigurationError: if it is empty.
        """
        proposed = {name: found.configurations[self.budget] for name, found in self.proposed.items()}
        found = self.pool.entrants(self.budget, proposed=proposed)
        require_entrants([entrant.name for entrant in found], self.pool, self.budget)
        return found

    def _lane(self, entrant: Entrant, rate: float) -> Lane:
        recipe = found_modules(
            entrant.configuration,
            self._start_of(entrant),
            inherits_head=False,
            name=entrant.name,
            method="race",
        )
        place = self._lane_folder / f"{entrant.name}-{rate:g}"
        return Lane(entrant, Training(self.experiment, recipe, place, self.experiment.seed, rate, self.budget))

    def _start_of(self, entrant: Entrant) -> Path:
        """Folder of the adapter that an entrant starts from, which need not exist."""
        return self.folder / "search" / entrant.name / start_folder(self.budget, smallest=self._smallest)

    @property
    def _smallest(self) -> int:
        """The smallest budget of the run."""
        return min(self.experiment.usable_budgets().values())

    @property
    def _lane_folder(self) -> Path:
        return self.folder / "search" / "lanes" / str(self.budget)

    @property
    def _record(self) -> Path:
        return self.folder / "search" / "lanes.jsonl"

    def _rows(self) -> list[dict]:
        return [row for row in read_rows(self._record) if row["budget"] == self.budget]

    def _judges(self, rung: Rung) -> EncodedSplit:
        """The validation examples whose losses decide at the end of a rung."""
        return self.experiment.judges(after=rung.step, share=rung.judges)

    def _measure_all(self, lanes: Mapping[str, Lane], rung: Rung) -> dict[str, list[float]]:
        """Losses of lanes at the end of a rung, those read that an interrupted search has measured."""
        known = {row["lane"]: row["losses"] for row in self._rows() if row["step"] == rung.step}
        trainings = {name: lane.training for name, lane in lanes.items() if name not in known}
        for judged in self.judge(trainings, rung.step, self._judges(rung)):
            if judged.error:
                logger.warning("%s leaves: %s", judged.name, judged.error)
            self._write(judged, rung.step)
            known[judged.name] = judged.losses
        # In the order of the lanes, whichever was ready first.
        return {name: known[name] for name in lanes}

    def _write(self, judged: Judged, step: int) -> None:
        losses = judged.losses
        row = {"budget": self.budget, "lane": judged.name, "step": step, "loss": fmean(losses) if losses else None}
        append_row(self._record, row | {"seconds": judged.seconds, "losses": losses})
        flush(self._record)
        stop_signals.stop_if_asked()

    def _let_go(self, lanes: Mapping[str, Lane], losses: Mapping[str, Sequence[float]], going: Iterable[str]) -> None:
        """Remove the trainings of the lanes that leave.

        Raises:
            TrainingError: if every lane broke down.
        """
        if not any(losses.values()):
            raise TrainingError("Every lane of the race broke down. Give a lower --training.learning_rate.")
        for name in losses.keys() - set(going):
            shutil.rmtree(lanes[name].training.folder, ignore_errors=True)

    def _finish(self, winner: Lane, rungs: Sequence[Rung], *, tried: Mapping[str, Lane]) -> None:
        """Put the winner's training and its start where the run's training of this budget looks for them.

        Args:
            winner: of the race.
            rungs: of the race.
            tried: the lanes of its configuration.
        """
        start = self._start_of(winner.entrant)
        if start.exists():
            with new_folder(self.folder / start_folder(self.budget, smallest=self._smallest)) as new:
                shutil.copytree(start, new, dirs_exist_ok=True)
        place = self.folder / training_folder(self.budget, smallest=self._smallest) / f"seed-{self.experiment.seed}"
        if place.exists():
            return
        rate = self._started_rate(winner, rungs, tried)
        place.parent.mkdir(parents=True, exist_ok=True)
        # Before the training is there: without its rate a resumed run would look for another one.
        write_found_rate(place.parent, rate)
        if winner.training.folder.exists():
            winner.training.folder.rename(place)

    def _started_rate(self, winner: Lane, rungs: Sequence[Rung], tried: Mapping[str, Lane]) -> float:
        """The rate at which the winner goes on: another one, from the beginning, if it is no better than guessing."""
        training, experiment = winner.training, self.experiment
        losses = {row["step"]: row["loss"] for row in self._rows() if row["lane"] == winner.name}
        guesses = {rung.step: experiment.guess_loss_on(self._judges(rung)) for rung in rungs if rung.step in losses}
        compared = [(losses[step], guess) for step, guess in guesses.items() if guess is not None]
        # Before that step the training itself looks.
        if not compared or max(losses) < check_step(experiment.num_steps):
            return training.rate
        # At the rung where it was best, as in a search for the rate of a single configuration.
        loss, guess = min(compared, key=lambda pair: pair[0] - pair[1])
        if loss < guess:
            return training.rate
        return training.start_again(
            max(losses),
            loss,
            guess,
            tried=[lane.training.rate for lane in tried.values()],
            some_too_high=any(is_too_high(row["loss"], guess) for row in self._rows() if row["lane"] in tried),
            seconds=sum(row["seconds"] for row in self._rows() if row["lane"] == winner.name),
        )
