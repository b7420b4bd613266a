"""Registers PrunePEFT."""

from peftsearch.methods.prunepeft.settings import PrunePeftSettings
from peftsearch.searches.method import Driver, MethodEntry, register_method

register_method(
    MethodEntry(
        "prunepeft",
        "one training, then pruning by first-order scores (Lawton et al. 2023)",
        PrunePeftSettings,
        Driver.GATES,
        "peftsearch.methods.prunepeft.method:PrunePeft",
        space="s2",
    )
)
