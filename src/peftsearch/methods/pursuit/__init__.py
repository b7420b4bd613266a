"""Registers gradient pursuit."""

from peftsearch.methods.pursuit.settings import PursuitSettings
from peftsearch.searches.method import Driver, MethodEntry, register_method

register_method(
    MethodEntry(
        "pursuit",
        "units added by the gradient at a probed head: LoRA directions, biases, norm weights (ours)",
        PursuitSettings,
        Driver.GROWTH,
        "peftsearch.methods.pursuit.method:Pursuit",
        quick={"examples": 16, "stages": 2, "between": 6},
    )
)
