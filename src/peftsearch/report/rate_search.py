"""The part of `results.json` on a search for a learning rate."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RateRound:
    """The end of a round of a search for a learning rate.

    Args:
        step: optimizer steps that each of its trainings had taken.
        losses: rate -> mean validation loss; None for a training that broke down.
        kept: rates that went on.
    """

    step: int
    losses: dict[str, float | None]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class RateSearch:
    """A search for a learning rate by trainings that leave early.

    Args:
        rounds: in order.
        cost: steps of all trainings over those of one.
        seconds: wall time of the rounds.
    """

    rounds: tuple[RateRound, ...]
    cost: float
    seconds: float
