"""AdaLoRA's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import at_least, between, limited


@dataclass(frozen=True)
class AdaLoraSettings(MethodSettings):
    """Settings of AdaLoRA.

    Args:
        rank: mean of the final ranks; 0 takes what the budget holds, or 8 without a budget.
        roles: comma-separated roles such as "query,value"; empty for attention's linear maps of one size.
        warmup: share of the steps before the first rank is removed, in [0, 0.5].
        final: share of the steps after the last rank has been removed, in [0, 0.9].
        interval: steps between two allocations.
        orthogonality: weight of the loss term that keeps the factors orthogonal, at least 0.

    Example:
        # peftsearch train --model demo --task demo --configuration adalora --budget 0.5% --method.final 0.5
        train(model="demo", task="demo", budget="0.5%", configuration="adalora", method={"final": 0.5})
    """

    rank: int = limited(0, at_least(0))
    roles: str = ""
    warmup: float = limited(0.1, between(0, 0.5))
    final: float = limited(0.3, between(0, 0.9))
    interval: int = limited(1, at_least(1))
    orthogonality: float = limited(0.1, at_least(0))
