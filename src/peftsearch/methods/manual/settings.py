"""Settings of the manual configurations."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import at_least, limited


@dataclass(frozen=True)
class ManualSettings(MethodSettings):
    """Settings of a manual configuration.

    Args:
        rank: rank of every module; 0 takes the largest that the budget holds, or the method's own without a budget.
        roles: comma-separated roles such as "query,value"; empty for the method's own; see docs/manual.md.

    Example:
        # peftsearch train --model demo --task demo --configuration lora --method.rank 4
        train(model="demo", task="demo", configuration="lora", method={"rank": 4})
    """

    rank: int = limited(0, at_least(0))
    roles: str = ""
