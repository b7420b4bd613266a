"""Every choice that a search may make, with its exact cost: budget arithmetic on plain data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

from peftsearch.errors import BudgetError, ConfigurationError
from peftsearch.space.configuration import Choice, Configuration, Placement
from peftsearch.space.presets import Preset
from peftsearch.space.site import Site

# (kind, site, rank) -> parameters; None where the kind does not fit the site.
Cost = Callable[[str, Site, int], int | None]


class SearchSpace:
    """Choices and their costs in parameters, task head excluded.

    Args:
        costs: exact trainable parameters of each choice; a larger rank costs more.
    """

    def __init__(self, costs: Mapping[Choice, int]):
        if not costs:
            raise ConfigurationError("The search space is empty: no kind of the space fits a site of the model.")
        self.costs = MappingProxyType(dict(sorted(costs.items())))

    @classmethod
    def build(cls, preset: Preset, *, sites: Iterable[Site], cost: Cost) -> "SearchSpace":
        """Lay a preset over the sites of a model, and leave out what does not fit there.

        Args:
            cost: parameters of (kind, site, rank), None where the kind does not fit; its ranks are `preset.ranks` for
                ranked kinds, for which the cost grows with the rank, and 1 for all others.
        """
        costs = {}
        for site in sites:
            for kind, roles in preset.roles.items():
                if site.role in roles and cost(kind, site, 1) is not None:
                    is_ranked = cost(kind, site, 1) != cost(kind, site, 2)
                    for rank in preset.ranks if is_ranked else (1,):
                        costs[Choice(site.name, kind, rank)] = cost(kind, site, rank)
        return cls(costs)

    @cached_property
    def ranks(self) -> Mapping[Placement, tuple[int, ...]]:
        """Candidate ranks of each placement, ascending; placements are sorted by site and kind."""
        ranks: dict[Placement, list[int]] = {}
        for choice in self.costs:
            ranks.setdefault(choice.placement, []).append(choice.rank)
        return {placement: tuple(sorted(found)) for placement, found in ranks.items()}

    def cost_of(self, choice: Choice) -> int:
        """Parameters of one choice.

        Raises:
            ConfigurationError: if the choice is not in the space.
        """
        if choice not in self.costs:
            raise ConfigurationError(
                f"{choice.placement} with rank {choice.rank} is not in the search space of this model."
            )
        return self.costs[choice]

    def cost(self, configuration: Iterable[Choice]) -> int:
        """Parameters of a configuration."""
        return sum(map(self.cost_of, configuration))

    @cached_property
    def cheapest(self) -> Choice:
        """The choice with the fewest parameters."""
        return min(self.costs, key=lambda choice: (self.costs[choice], choice))

    @cached_property
    def largest(self) -> Configuration:
        """Every placement at its largest rank: what a supernet holds."""
        return Configuration.of(Choice(p.site, p.kind, ranks[-1]) for p, ranks in self.ranks.items())

    def restricted_to(self, configuration: Configuration) -> "SearchSpace":
        """The space that holds just the choices of a configuration."""
        return SearchSpace({choice: self.cost_of(choice) for choice in configuration})

    def check_budget(self, budget: int) -> int:
        """Return the part of a budget that the space can use: all of it, or the whole space if that is smaller.

        Raises:
            BudgetError: if no choice fits.
        """
        if budget < self.costs[self.cheapest]:
            raise BudgetError(
                f"A budget of {budget:,} parameters holds no module: the smallest is {self.cheapest.placement} "
                f"with {self.costs[self.cheapest]:,} parameters. Raise the budget or widen the space."
            )
        return min(budget, self.cost(self.largest))

    def fill(self, configuration: Configuration, *, ordered: Sequence[Placement], budget: int) -> Configuration:
        """Add modules and raise ranks, in the order given, until nothing that could be added fits the budget.

        Args:
            configuration: what is kept in any case.
            ordered: placements, the most wanted first. Each pass gives every placement its next larger rank, so
                that an absent module enters at its smallest one.
            budget: parameters that the result must not exceed.

        Raises:
            BudgetError: if `configuration` alone exceeds the budget.
        """
        chosen = {choice.placement: choice.rank for choice in configuration}
        left = budget - self.cost(configuration)
        if left < 0:
            raise BudgetError(f"The configuration exceeds the budget of {budget:,} parameters by {-left:,}.")
        grew = True
        while grew:
            grew = False
            for placement in ordered:
                step = self._next_rank(placement, chosen.get(placement, 0))
                if step is not None and step[1] <= left:
                    chosen[placement], left, grew = step[0], left - step[1], True
        return Configuration.of(Choice(p.site, p.kind, rank) for p, rank in chosen.items())

    def _next_rank(self, placement: Placement, rank: int) -> tuple[int, int] | None:
        """The next larger rank of a placement and what it costs more; None at the largest rank."""
        larger = [r for r in self.ranks[placement] if r > rank]
        if not larger:
            return None
        now = self.costs[Choice(placement.site, placement.kind, rank)] if rank else 0
        return larger[0], self.costs[Choice(placement.site, placement.kind, larger[0])] - now
