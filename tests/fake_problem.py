"""A problem without a model: sites, costs and a score that we choose."""

from peftsearch.searches.trials import Problem
from peftsearch.space import Choice, Role, SearchSpace, Site
from peftsearch.space.encoding import ENCODINGS

ROLES = (Role.QUERY, Role.FFN_OUT)
KIND_AT = {Role.QUERY: "lora", Role.FFN_OUT: "serial_adapter"}


def make_problem(
    *, layers: int = 4, sizes=(1, 3, 6), budget: int = 150, seed: int = 0, encoding: str = "flat", budgets=()
) -> Problem:
    """Two kinds in every layer; a choice costs ten times its size."""
    sites = [Site("encoder", n, role, f"{n}.{role}", 8, 8) for n in range(layers) for role in ROLES]
    space = SearchSpace({Choice(s.name, KIND_AT[s.role], r): 10 * r for s in sites for r in sizes})
    budgets = tuple(budgets) or (budget,)
    return Problem(space, ENCODINGS[encoding](space, max(budgets), sites), budgets, seed)


def value(choice: Choice) -> float:
    """What one choice is worth: higher layers more, with falling returns of size."""
    layer = int(choice.site.split(".")[1])
    return (1 + layer) * (2.0 if choice.kind == "lora" else 1.0) * choice.rank**0.5


def synthetic_score(configuration) -> float:
    """The sum of what the choices are worth."""
    return sum(map(value, configuration))
