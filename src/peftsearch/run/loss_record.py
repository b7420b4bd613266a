"""The losses of trainings at several rates, as a search for the rate records them."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean

from peftsearch.errors import DivergedError
from peftsearch.files import write_json
from peftsearch.report.document import read_as
from peftsearch.report.rate_search import RateRound, RateSearch
from peftsearch.run.folder import read_json
from peftsearch.run.training import Training
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.training.start_check import is_too_high

logger = logging.getLogger(__name__)


class LossRecord:
    """The validation losses of trainings at several rates, in a file that is written after each.

    Args:
        path: of the file, which holds a `RateSearch`.
        cost: steps of all trainings over those of one.
    """

    def __init__(self, path: Path, cost: float):
        self.path = path
        self._search = read_rate_search(path) or RateSearch((), cost, 0.0)

    @property
    def cost(self) -> float:
        """Steps of all trainings over those of one."""
        return self._search.cost

    def some_too_high(self, guess: float) -> bool:
        """Whether any rate was too high, see `is_too_high`."""
        return any(is_too_high(loss, guess) for end in self._search.rounds for loss in end.losses.values())

    def losses(self, step: int) -> dict[float, float]:
        """Rate -> loss after a step, of the trainings that got there; infinite for one that broke down."""
        found = [end for end in self._search.rounds if end.step == step]
        return {float(rate): math.inf if loss is None else loss for end in found for rate, loss in end.losses.items()}

    def lowest(self, step: int, *, guess: float | None) -> dict[float, float]:
        """Rate -> lowest loss up to a step, of the trainings that got there; infinite for one that broke down.

        Args:
            step: optimizer steps.
            guess: mean loss of guessing, None where nothing is guessed: a training whose loss lies more than 5% above
                it by now has collapsed, and has the loss that it has.
        """
        rounds = [self.losses(end.step) for end in self._search.rounds if end.step <= step]

        def judged(rate: float, loss: float) -> float:
            if not math.isfinite(loss) or (guess is not None and is_too_high(loss, guess)):
                return loss
            return min(losses[rate] for losses in rounds if rate in losses)

        return {rate: judged(rate, loss) for rate, loss in self.losses(step).items()}

    def measure(self, training: Training, step: int, *, judged_on: EncodedSplit) -> float:
        """Train up to a step and record the loss; a loss that is recorded is read.

        Args:
            training: goes on from where it is.
            step: optimizer steps.
            judged_on: examples whose mean loss is recorded.

        Returns:
            the loss; infinite for a training whose loss stops being a number.
        """
        known = self.losses(step)
        if training.rate in known:
            return known[training.rate]
        started = time.perf_counter()
        try:
            loss = fmean(training.run_until(step, judged_on=judged_on))
        except DivergedError as error:
            logger.warning("Rate %g leaves: %s", training.rate, error)
            loss = math.inf
        self._write(step, known | {training.rate: loss}, seconds=time.perf_counter() - started)
        return loss

    def set_cost(self, trainings: float) -> None:
        """Record another cost: that of what was trained in the end."""
        self._search = replace(self._search, cost=trainings)
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
