"""Search spaces: every choice that a search may make in a model, with its exact cost in parameters."""

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
    """Choices with their exact costs in parameters, task head excluded.

    Args:
        costs: trainable parameters of each choice; at one placement a larger rank costs more.

    Raises:
        ConfigurationError: if there is no choice.

    Example:
        space = SearchSpace({Choice("encoder.0.value", "lora", rank): 64 * rank for rank in (1, 4, 8)})
        space.cost(space.largest)  # 512
    """

    def __init__(self, costs: Mapping[Choice, int]):
        if not costs:
            raise ConfigurationError("The search space is empty: no kind of the space fits a site of the model.")
        self.costs = MappingProxyType(dict(sorted(costs.items())))

    @classmethod
    def build(cls, preset: Preset, *, sites: Iterable[Site], cost: Cost) -> "SearchSpace":
        """Find the choices that a preset allows in a model; kinds that do not fit a site are left out there.

        Args:
            preset: kinds, the roles they may stand at, and the ranks of ranked kinds.
            sites: every site of the model.
            cost: parameters of (kind, site, rank), or None where the kind does not fit. A kind is ranked if its cost
                grows with the rank; all others have rank 1 only.

        Raises:
            ConfigurationError: if no kind fits any site.
        """
        costs = {}
        for site in sites:
            for kind in preset.roles:
                if preset.allows(kind, site) and cost(kind, site, 1) is not None:
                    is_ranked = cost(kind, site, 1) != cost(kind, site, 2)
                    for rank in preset.ranks if is_ranked else (1,):
                        costs[Choice(site.name, kind, rank)] = cost(kind, site, rank)
        return cls(costs)

    @cached_property
    def ranks(self) -> Mapping[Placement, tuple[int, ...]]:
        """Candidate ranks of every placement, ascending; placements are sorted by site and kind."""
        ranks: dict[Placement, list[int]] = {}
        for choice in self.costs:
            ranks.setdefault(choice.placement, []).append(choice.rank)
        return {placement: tuple(sorted(found)) for placement, found in ranks.items()}

    def cost_of(self, choice: Choice) -> int:
        """Return the parameters of one choice.

        Raises:
            ConfigurationError: if the choice is not in the space.
        """
        if choice not in self.costs:
            raise ConfigurationError(
                f"{choice.placement} with rank {choice.rank} is not in the search space of this model."
            )
        return self.costs[choice]

    def cost(self, configuration: Iterable[Choice]) -> int:
        """Return the parameters of a configuration.

        Raises:
            ConfigurationError: if one of its choices is not in the space.
        """
        return sum(map(self.cost_of, configuration))

    @cached_property
    def cheapest(self) -> Choice:
        """The choice with the fewest parameters."""
        return min(self.costs, key=lambda choice: (self.costs[choice], choice))

    @cached_property
    def largest(self) -> Configuration:
        """Every placement at its largest rank: the modules of a supernet."""
        return Configuration.of(Choice(p.site, p.kind, ranks[-1]) for p, ranks in self.ranks.items())

    def restricted_to(self, configuration: Configuration) -> "SearchSpace":
        """Return the space that holds only the choices of a configuration."""
        return SearchSpace({choice: self.cost_of(choice) for choice in configuration})

    def check_budget(self, budget: int) -> int:
        """Lower a budget to the cost of the largest configuration if it exceeds that.

        Args:
            budget: parameters.

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
            configuration: choices that are kept or raised to a larger rank, never dropped.
            ordered: placements, the most wanted first. Each pass raises every placement to its next larger rank, so
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
        """Find a placement's next larger rank and the parameters that it adds; None at the largest rank."""
        larger = [r for r in self.ranks[placement] if r > rank]
        if not larger:
            return None
        now = self.costs[Choice(placement.site, placement.kind, rank)] if rank else 0
        return larger[0], self.costs[Choice(placement.site, placement.kind, larger[0])] - now
