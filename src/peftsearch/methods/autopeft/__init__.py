"""AutoPEFT's settings."""

from peftsearch.methods.autopeft.settings import AutopeftSettings
from peftsearch.searches.method import METHODS, Driver, MethodEntry

METHODS.add(
    "autopeft",
    MethodEntry(
        "multi-objective Bayesian optimisation of score and size (Zhou et al. 2024)",
        AutopeftSettings,
        Driver.TRIALS,
        "peftsearch.methods.autopeft.method:Autopeft",
        space="autopeft",
        encodings=("flat", "autopeft", "noah"),
    ),
)
