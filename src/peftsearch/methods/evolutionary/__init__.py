"""Evolutionary search's settings."""

from peftsearch.methods.evolutionary.settings import EvolutionarySettings
from peftsearch.searches.method import METHODS, Driver, MethodEntry

METHODS.add(
    "evolutionary",
    MethodEntry(
        "evolution with the weights of a once-trained supernet (NOAH, Zhang et al. 2022)",
        EvolutionarySettings,
        Driver.INHERITED,
        "peftsearch.methods.evolutionary.method:Evolution",
        space="noah",
        encodings=("flat", "autopeft", "noah", "design_spaces"),
    ),
)
