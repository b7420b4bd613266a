"""PEFT designs in the paper's terms: how layers are grouped, how parameters are spread, which kinds a group gets."""

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
    """The kinds of each group of layers, and how parameters are spread, for any model and budget.

    Args:
        grouping: a key of `GROUPINGS`: how many layers are in each group.
        allocation: one of `ALLOCATIONS`: how parameters change from the bottom layer to the top one.
        tunable: one of `TUNABLE_GROUPS`: the groups that get modules.
        strategies: for each group, one of `STRATEGIES`: the letters of its kinds.
    """

    grouping: str
    allocation: str
    tunable: str
    strategies: tuple[str, str, str, str]


# Source: Chen et al. 2023; S4 was found on T5-base, S4-3b on T5-3b (not checked against the paper).
READY = MappingProxyType(
    {
        "s4": Design("spindle", "uniform", "1234", ("AL", "AP", "APB", "PBL")),
        "s4-3b": Design("spindle", "uniform", "1234", ("PL", "AL", "PBL", "APB")),
    }
)


def group_sizes(grouping: str, num_layers: int) -> tuple[int, ...]:
    """Count the layers of each of the four groups, from the input side.

    Every group has at least one layer. A model of fewer than four layers has one in each of the first groups.

    Args:
        grouping: a key of `GROUPINGS`.
        num_layers: layers of the stack.

    Source: the paper gives the order of the sizes only. Ours: the weights of `GROUPINGS`, rounded by the largest
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
    """Return the group (0 to 3) of each layer, from the bottom up."""
    return tuple(group for group, size in enumerate(group_sizes(grouping, num_layers)) for _ in range(size))


def layer_weight(allocation: str, layer: int, num_layers: int) -> int:
    """Return the relative number of parameters of layer i of L: i + 1, 1, or L - i.

    Args:
        allocation: one of `ALLOCATIONS`.
        layer: counted from 0 at the bottom.
        num_layers: layers of the stack.
    """
    return {"increasing": layer + 1, "uniform": 1, "decreasing": num_layers - layer}[allocation]


def split_budget(budget: int, weights: Sequence[int]) -> list[int]:
    """Divide a budget among layers in proportion to their weights, rounded down to whole parameters."""
    return [budget * weight // sum(weights) for weight in weights]
