"""Search a configuration with any method, once: a resumed run reads the result of its finished search."""

from collections.abc import Callable
from pathlib import Path

from peftsearch import processes
from peftsearch.run.experiment import Experiment
from peftsearch.run.gate_search import search_with_gates
from peftsearch.run.growth_search import search_by_growth
from peftsearch.run.inherited_search import search_with_inherited_weights
from peftsearch.run.race_search import search_by_race
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import SearchResult
from peftsearch.run.trial_search import search_by_trials
from peftsearch.searches.method import METHODS, Driver
from peftsearch.training import stop_signals
from peftsearch.training.checkpoints import Checkpoints

_SEARCHES: dict[Driver, Callable[[Experiment, SearchRequest, Path], SearchResult]] = {
    Driver.GATES: search_with_gates,
    Driver.TRIALS: search_by_trials,
    Driver.GROWTH: search_by_growth,
    Driver.RACE: search_by_race,
    Driver.INHERITED: search_with_inherited_weights,
}


def search_configuration(experiment: Experiment, request: SearchRequest, folder: Path) -> SearchResult:
    """Search, or read the result of a finished search in the same run folder.

    Args:
        experiment: gives data, model and space.
        request: method and settings.
        folder: the run folder.

    Returns:
        a configuration for each budget, as read back from the run folder.
    """
    if not SearchResult.is_in(folder):
        _SEARCHES[METHODS[request.method].driver](experiment, request, folder).save(folder)
    # Also those that a kill right after the record has left.
    Checkpoints(folder / "search").discard()
    stop_signals.stop_if_asked()
    found = SearchResult.load(folder)
    for budget, configuration in found.configurations.items():
        processes.require_equal(f"the configuration within {budget:,} parameters", configuration.to_json())
    return found
