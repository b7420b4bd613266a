"""A lane of a race: a configuration that trains at a learning rate."""

from collections.abc import Iterable
from dataclasses import dataclass

from peftsearch.methods.race.pool import Entrant
from peftsearch.run.training import Training


@dataclass(frozen=True)
class Lane:
    """A configuration that trains at a rate.

    Args:
        entrant: the configuration.
        training: its training, from the start to the end.
    """

    entrant: Entrant
    training: Training

    @property
    def name(self) -> str:
        """Unique in the race."""
        return f"{self.entrant.name} at {self.training.rate:g}"


def by_name(lanes: Iterable[Lane]) -> dict[str, Lane]:
    """Name -> lane, in their order."""
    return {lane.name: lane for lane in lanes}
