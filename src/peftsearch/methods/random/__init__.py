"""Registers random search."""

from peftsearch.methods.random.settings import RandomSettings
from peftsearch.searches.method import Driver, MethodEntry, register_method

register_method(
    MethodEntry(
        "random",
        "configurations drawn at random within the budget (APET, Su et al. 2023)",
        RandomSettings,
        Driver.TRIALS,
        "peftsearch.methods.random.method:RandomSearch",
        encodings=("flat", "autopeft", "noah", "design_spaces"),
        quick={"trials": 2},
    )
)
