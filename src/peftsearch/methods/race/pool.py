"""The configurations that take part in a race."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peftsearch.errors import BudgetError, ConfigurationError
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS
from peftsearch.methods.manual.method import place_within
from peftsearch.methods.race.settings import RaceSettings
from peftsearch.methods.random.method import RandomSearch
from peftsearch.methods.random.settings import RandomSettings
from peftsearch.modules.costs import cost
from peftsearch.names import split_names
from peftsearch.searches.trials import Problem
from peftsearch.space import Configuration, SearchSpace, Site

# A hand recipe that uses a smaller share of the budget is left out while others use more.
SMALLEST_SHARE = 0.6
_CANDIDATE = "candidate_"


@dataclass(frozen=True)
class Entrant:
    """A configuration that takes part.

    Args:
        name: unique in the race.
        configuration: its modules.
    """

    name: str
    configuration: Configuration


class Pool:
    """The entrants of a race.

    Args:
        problem: gives space, encoding and seed.
        sites: of the model.
        settings: of the race.
    """

    def __init__(self, problem: Problem, sites: Sequence[Site], settings: RaceSettings):
        self.problem, self.sites, self.settings = problem, sites, settings

    def entrants(self, budget: int, *, proposed: Mapping[str, Configuration]) -> list[Entrant]:
        """All entrants within a budget, the most wanted first, equal configurations once.

        Args:
            budget: in parameters.
            proposed: searching method -> configuration that it found for the budget.

        Raises:
            ConfigurationError: for a candidate's file that cannot be read, or one outside of the space; if nothing
                takes part.
            BudgetError: for a candidate above the budget.
        """
        space, settings = self.problem.space, self.settings
        found = [
            *read_candidates(settings.candidates, space, budget=budget),
            *(Entrant(name, configuration) for name, configuration in proposed.items()),
            *self.recipes(budget),
            *random_draws(settings.draws, self.problem, budget=budget),
        ]
        first: dict[Configuration, Entrant] = {}
        for entrant in found:
            if len(entrant.configuration):
                first.setdefault(entrant.configuration, entrant)
        return list(first.values())

    def recipes(self, budget: int) -> list[Entrant]:
        """The recipes that take part within a budget."""
        found, _ = hand_recipes(self.settings.recipe_names, self.problem.space, self.sites, budget=budget)
        return found

    def left_out(self, budget: int) -> dict[str, str]:
        """Recipe that cannot take part within a budget -> why."""
        _, left_out = hand_recipes(self.settings.recipe_names, self.problem.space, self.sites, budget=budget)
        return left_out

    def names(self, budget: int) -> list[str]:
        """The names of all that take part if each search finds a configuration of its own, the most wanted first.

        Args:
            budget: in parameters.

        Raises:
            ConfigurationError: as in `entrants`.
            BudgetError: as in `entrants`.
        """
        found = [entrant.name for entrant in self.entrants(budget, proposed={})]
        first = [name for name in found if name.startswith(_CANDIDATE)]
        return [*first, *self.settings.search_names, *(name for name in found if name not in first)]


def hand_recipes(
    names: Sequence[str], space: SearchSpace, sites: Sequence[Site], *, budget: int
) -> tuple[list[Entrant], dict[str, str]]:
    """Manual methods as large as a budget holds, those with kinds of the space only.

    Args:
        names: of manual methods.
        space: whose kinds may take part.
        sites: of the model.
        budget: in parameters.

    Returns:
        the methods that take part, and for each other one why it does not.
    """
    kinds = {placement.kind for placement in space.ranks}
    found: dict[str, Entrant] = {}
    left_out: dict[str, str] = {}
    for name in names:
        if foreign := {part.kind for part in MANUAL_METHODS[name].parts} - kinds:
            left_out[name] = f"the space has no {' and no '.join(sorted(foreign))}"
            continue
        try:
            found[name] = Entrant(name, place_within(MANUAL_METHODS[name], sites, budget=budget))
        except (BudgetError, ConfigurationError) as error:
            left_out[name] = str(error)
    sizes = {name: cost(entrant.configuration, sites) for name, entrant in found.items()}
    if any(size >= SMALLEST_SHARE * budget for size in sizes.values()):
        for name in [name for name in found if sizes[name] < SMALLEST_SHARE * budget]:
            left_out[name] = f"it takes {sizes[name]:,} of {budget:,} parameters, where others use most of them"
            del found[name]
    return list(found.values()), left_out


def read_candidates(files: str, space: SearchSpace, *, budget: int) -> list[Entrant]:
    """Configurations from comma-separated files and run folders.

    Raises:
        ConfigurationError: for a file that cannot be read, or a choice that is not in the space.
        BudgetError: for a configuration above the budget.
    """
    found = []
    for number, path in enumerate(split_names(files)):
        configuration = Configuration.load(Path(path, "configuration.json") if Path(path).is_dir() else path)
        if (size := space.cost(configuration)) > budget:
            raise BudgetError(
                f"The candidate '{path}' has {size:,} parameters, but the budget is {budget:,}. Leave it out, or "
                "raise the budget."
            )
        found.append(Entrant(f"{_CANDIDATE}{number + 1}", configuration))
    return found


def random_draws(count: int, problem: Problem, *, budget: int) -> list[Entrant]:
    """Random configurations within a budget, as random search draws them."""
    drawn = RandomSearch(problem, RandomSettings(trials=count)).draws(budget) if count else []
    return [Entrant(f"random_{number + 1}", configuration) for number, configuration in enumerate(drawn)]
