"""Search by a race: what searches find starts together, the best tries other rates, the winner's training goes on.

Each search keeps its result in `search/NAME/` of the run folder.
"""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from peftsearch.errors import NothingFoundError
from peftsearch.methods.race.pool import Pool
from peftsearch.methods.race.settings import RaceSettings
from peftsearch.run.experiment import Experiment
from peftsearch.run.gate_search import search_with_gates
from peftsearch.run.growth_search import search_by_growth
from peftsearch.run.judging import judging
from peftsearch.run.race import Race, race_rates, race_schedule, require_entrants, warn_of_cost
from peftsearch.run.search_once import Search, search_once
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import SearchResult
from peftsearch.run.trial_search import make_problem
from peftsearch.searches.method import METHODS, Driver

logger = logging.getLogger(__name__)

# The loops of the searches whose results can take part, one for each of PROPOSING.
PROPOSING_SEARCHES: dict[Driver, Search] = {Driver.GROWTH: search_by_growth, Driver.GATES: search_with_gates}


def search_by_race(experiment: Experiment, request: SearchRequest, folder: Path) -> SearchResult:
    """Run a race within each budget; the training of its winner is left where the run's training goes on with it.

    Arguments and result are those of `search_configuration`.
    """
    settings = request.settings
    assert isinstance(settings, RaceSettings)
    pool: Pool = request.load()(make_problem(experiment), experiment.sites, settings)
    (starting, _), wanted = _starting(experiment, settings, pool), settings.search_names
    warn_of_cost([name for name in wanted if name not in starting], settings.cost)
    proposed = _search_all(experiment, [name for name in wanted if name in starting], folder)
    found, results, winners = proposed.values(), {}, set()
    seconds, steps = sum(each.seconds for each in found), sum(each.steps for each in found)
    with judging(experiment) as judge:
        for budget in sorted(set(experiment.usable_budgets().values())):
            race = Race(experiment, settings, pool, folder, budget, proposed, judge)
            winner = race.run()
            results[budget] = winner.entrant.configuration
            winners.add(winner.entrant.name)
            seconds, steps = seconds + race.seconds_beside(winner), steps + race.steps_beside(winner)
    shutil.rmtree(folder / "search" / "lanes", ignore_errors=True)
    # What a search whose result lost has to say is of no use.
    notes = tuple(note for name, each in proposed.items() if name in winners for note in each.notes)
    return SearchResult(results, steps, seconds, notes)


def _starting(experiment: Experiment, settings: RaceSettings, pool: Pool) -> tuple[list[str], list[str]]:
    """The names of what starts in the race of the largest budget, the most wanted first, and of what costs too much.

    Raises:
        ConfigurationError: if nothing takes part in one of the races.
        BudgetError: for a candidate that is larger than a budget.
    """
    names: list[str] = []
    for budget in sorted(set(experiment.usable_budgets().values())):
        names = pool.names(budget)
        require_entrants(names, pool, budget)
    count = race_schedule(experiment, settings, len(names)).num_lanes
    return names[:count], names[count:]


def _search_all(experiment: Experiment, names: Iterable[str], folder: Path) -> dict[str, SearchResult]:
    """What each search finds, in a folder of its own; without those that find nothing."""
    found = {}
    for name in names:
        entry, place = METHODS[name], folder / "search" / name
        if not SearchResult.is_in(place):
            logger.info("Searching with %s.", name)
        request = SearchRequest(name, entry.settings())
        try:
            found[name] = search_once(PROPOSING_SEARCHES[entry.driver], experiment, request, place)
        except NothingFoundError as error:
            logger.warning("%s takes no part in the race: %s", name, error)
    return found


def describe_race(experiment: Experiment, request: SearchRequest) -> str:
    """The lanes that start in the race of the largest budget, and its cost, before it costs anything."""
    settings = request.settings
    assert isinstance(settings, RaceSettings)
    pool: Pool = request.load()(make_problem(experiment), experiment.sites, settings)
    names, too_dear = _starting(experiment, settings, pool)
    schedule = race_schedule(experiment, settings, len(names))
    rates = race_rates(experiment, settings).at_most(schedule.num_rates)
    left_out = dict.fromkeys(too_dear, "it would cost too much")
    left_out |= pool.left_out(max(experiment.usable_budgets().values()))
    without = "".join(f"; without {name}: {reason}" for name, reason in left_out.items())
    races = len(set(experiment.usable_budgets().values()))
    each = f" in each of {races} races" if races > 1 else ""
    cost = f"{schedule.cost:.2f} trainings{each} with the winner's own, at most {settings.cost:g}, beside the searches"
    return f"{', '.join(names)}, each at {rates.first:g}{rates.plan}; {cost}{without}"
