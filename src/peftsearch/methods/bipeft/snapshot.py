"""A moment of a search, from which the configuration of a larger budget is read later."""

from collections.abc import Sequence
from dataclasses import dataclass

from peftsearch.space import Placement
from peftsearch.training.pytree import PyTree


@dataclass(frozen=True)
class Snapshot:
    """A moment of the search as exact repair needs it.

    Args:
        live: placements that have not been removed.
        ranks: the preferred rank of every placement, removed ones included.
        scores: S_n of every placement, likewise.
    """

    live: list[Placement]
    ranks: dict[Placement, int]
    scores: dict[Placement, float]

    def state_dict(self, placements: Sequence[Placement]) -> PyTree:
        """Plain data for a checkpoint.

        Args:
            placements: all of the search, in its order.
        """
        index = {placement: i for i, placement in enumerate(placements)}
        live = [index[placement] for placement in self.live]
        return {"live": live, "ranks": list(self.ranks.values()), "scores": list(self.scores.values())}

    @classmethod
    def of_state(cls, state: PyTree, placements: Sequence[Placement]) -> "Snapshot":
        """Read the result of `state_dict`, given the same placements."""
        live = [placements[i] for i in state["live"]]
        return cls(live, dict(zip(placements, state["ranks"])), dict(zip(placements, state["scores"])))
