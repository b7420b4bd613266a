"""Registers AutoPEFT."""

from peftsearch.methods.autopeft.settings import AutopeftSettings
from peftsearch.searches.method import Driver, MethodEntry, register_method

register_method(
    MethodEntry(
        "autopeft",
        "multi-objective Bayesian optimisation of score and size (Zhou et al. 2024)",
        AutopeftSettings,
        Driver.TRIALS,
        "peftsearch.methods.autopeft.method:Autopeft",
        space="autopeft",
        encodings=("flat", "autopeft", "noah"),
        quick={"evaluations": 3, "initial": 2},
    )
)
