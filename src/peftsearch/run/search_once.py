"""Run a search once: a resumed run reads the result of its finished search."""

from collections.abc import Callable
from pathlib import Path

from peftsearch import processes
from peftsearch.run.experiment import Experiment
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import SearchResult
from peftsearch.training import stop_signals
from peftsearch.training.checkpoints import Checkpoints

# The loop of a kind of search: (experiment, request, folder of the run or of the search within it).
Search = Callable[[Experiment, SearchRequest, Path], SearchResult]


def search_once(search: Search, experiment: Experiment, request: SearchRequest, folder: Path) -> SearchResult:
    """Search, or read the result of a finished search in the same folder.

    Args:
        search: the loop.
        experiment: gives data, model and space.
        request: method and settings.
        folder: the run folder, or that of a search within it.

    Returns:
        a configuration for each budget, as read back from the folder.
    """
    if not SearchResult.is_in(folder):
        search(experiment, request, folder).save(folder)
    # Also those that a kill right after the record has left.
    Checkpoints(folder / "search").discard()
    stop_signals.stop_if_asked()
    found = SearchResult.load(folder)
    for budget, configuration in found.configurations.items():
        processes.require_equal(f"the configuration within {budget:,} parameters", configuration.to_json())
    return found
