"""What every sort of search hands over."""

from dataclasses import dataclass

from peftsearch.space import Configuration


@dataclass(frozen=True)
class Searched:
    """The outcome of one search.

    Args:
        configurations: for each budget in parameters, its configuration.
        steps: optimizer steps of the search, or its trials.
        seconds: wall time.
        notes: what the user should know about the search.
    """

    configurations: dict[int, Configuration]
    steps: int
    seconds: float
    notes: tuple[str, ...] = ()
