"""PEFT designs in the paper's words: how layers are grouped, how parameters are spread, and what each group gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from types import MappingProxyType

# Letters of the paper and our kinds; a strategy is a non-empty set of letters, in this order.
KIND_OF = MappingProxyType({"A": "serial_adapter", "P": "prefix", "B": "bitfit", "L": "lora"})
STRATEGIES = tuple("".join(chosen) for n in range(1, 5) for chosen in combinations(KIND_OF, n))

NUM_GROUPS = 4
# Pattern -> relative numbers of layers in the groups G1 (input side) to G4 (output side).
GROUPINGS = MappingProxyType(
    {
        "increasing": (1, 2, 3, 4),
        "uniform": (1, 1, 1, 1),
        "decreasing": (4, 3, 2, 1),
        "spindle": (1, 2, 2, 1),
        "bottleneck": (2, 1, 1, 2),
    }
)
ALLOCATIONS = ("increasing", "uniform", "decreasing")
# Which groups get modules, by their numbers.
TUNABLE_GROUPS = ("1", "2", "3", "4", "12", "34", "123", "234", "1234")


@dataclass(frozen=True)
class Design:
    """What a model's groups of layers get, whatever the model and the budget.

    Args:
        grouping: one of `GROUPINGS`.
        allocation: one of `ALLOCATIONS`: how parameters change from the bottom layer to the top one.
        tunable: one of `TUNABLE_GROUPS`.
        strategies: for each group, one of `STRATEGIES`.
    """

    grouping: str
    allocation: str
    tunable: str
    strategies: tuple[str, str, str, str]


# Source: Chen et al. 2023; S4 was found on T5-base, S4-3b on T5-3b (the latter quoted from memory, `specs`).
READY = MappingProxyType(
    {
        "s4": Design("spindle", "uniform", "1234", ("AL", "AP", "APB", "PBL")),
        "s4-3b": Design("spindle", "uniform", "1234", ("PL", "AL", "PBL", "APB")),
    }
)


def group_sizes(grouping: str, num_layers: int) -> tuple[int, ...]:
    """Number of layers in each of the four groups, from the input side.

    Every group has at least one layer; of fewer than four layers each is a group, and the last groups are empty.

    Source: the paper gives the order of the sizes only; these are the weights of `GROUPINGS`, rounded by the largest
    remainder, ties towards the input side.
    """
    if num_layers < NUM_GROUPS:
        return tuple(int(i < num_layers) for i in range(NUM_GROUPS))
    weights = GROUPINGS[grouping]
    exact = [Fraction(num_layers * weight, sum(weights)) for weight in weights]
    sizes = [max(1, int(size)) for size in exact]
    by_remainder = sorted(range(NUM_GROUPS), key=lambda i: (sizes[i] - exact[i], i))
    for i in by_remainder[: num_layers - sum(sizes)]:
        sizes[i] += 1
    return tuple(sizes)


def group_of_layers(grouping: str, num_layers: int) -> tuple[int, ...]:
    """The group (0 to 3) of each layer, from the bottom up."""
    return tuple(group for group, size in enumerate(group_sizes(grouping, num_layers)) for _ in range(size))


def layer_weight(allocation: str, layer: int, num_layers: int) -> int:
    """Relative parameters of a layer, counted from 0 at the bottom: i + 1, 1, or L - i."""
    return {"increasing": layer + 1, "uniform": 1, "decreasing": num_layers - layer}[allocation]


def split_budget(budget: int, weights: Sequence[int]) -> list[int]:
    """Whole parameters for each layer, in proportion to the weights and never more in sum than the budget."""
    return [budget * weight // sum(weights) for weight in weights]
