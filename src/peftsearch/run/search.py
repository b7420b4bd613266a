"""Search a configuration with any method."""

from pathlib import Path

from peftsearch.run.experiment import Experiment
from peftsearch.run.inherited_search import search_with_inherited_weights
from peftsearch.run.race_search import PROPOSING_SEARCHES, search_by_race
from peftsearch.run.search_once import Search, search_once
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import SearchResult
from peftsearch.run.trial_search import search_by_trials
from peftsearch.searches.method import METHODS, Driver

_SEARCHES: dict[Driver, Search] = {
    **PROPOSING_SEARCHES,
    Driver.TRIALS: search_by_trials,
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
    return search_once(_SEARCHES[METHODS[request.method].driver], experiment, request, folder)
