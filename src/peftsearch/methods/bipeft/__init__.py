"""Registers BIPEFT."""

from peftsearch.methods.bipeft.settings import BipeftSettings
from peftsearch.searches.method import Driver, LoggedNumber, MethodEntry, register_method

register_method(
    MethodEntry(
        "bipeft",
        "budget-guided iterative search (Chang et al. 2024)",
        BipeftSettings,
        Driver.GATES,
        "peftsearch.methods.bipeft.method:Bipeft",
        space="s2",
        quick={"max_triggers": 3, "warmup": 0.3, "weight_warmup": 1, "window": 1},
        charted=(
            LoggedNumber(
                "stability",
                "Stability of the ranking",
                "Cosine of consecutive choices; above the dashed line a trigger fires.",
                highest=1.0,
                threshold="threshold",
            ),
        ),
        counter="triggers",
    )
)
