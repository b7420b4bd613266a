"""Registers evolutionary search."""

from peftsearch.methods.evolutionary.settings import EvolutionarySettings
from peftsearch.searches.method import Driver, MethodEntry, register_method

register_method(
    MethodEntry(
        "evolutionary",
        "evolution with the weights of a once-trained supernet (NOAH, Zhang et al. 2022)",
        EvolutionarySettings,
        Driver.INHERITED,
        "peftsearch.methods.evolutionary.method:Evolution",
        space="noah",
        encodings=("flat", "autopeft", "noah", "design_spaces"),
        quick={"population": 2, "generations": 1, "validation_examples": 8},
    )
)
