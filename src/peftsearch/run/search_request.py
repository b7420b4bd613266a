"""The search that a run is asked to do: a method with its settings."""

from dataclasses import dataclass
from typing import Any

from peftsearch.searches.method import METHODS, MethodSettings


@dataclass(frozen=True)
class SearchRequest:
    """A method with its settings.

    Args:
        method: name of the method.
        settings: its settings.
        inherit: the training of the smallest budget's configuration starts from the weights that the search has
            trained.
    """

    method: str
    settings: MethodSettings
    inherit: bool = False

    def load(self) -> Any:
        """Import the class or function that makes the method."""
        return METHODS[self.method].load()
