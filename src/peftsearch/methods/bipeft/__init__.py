"""BIPEFT's settings."""

from peftsearch.methods.bipeft.settings import BipeftSettings
from peftsearch.searches.method import METHODS, Driver, MethodEntry

METHODS.add(
    "bipeft",
    MethodEntry(
        "budget-guided iterative search (Chang et al. 2024)",
        BipeftSettings,
        Driver.GATES,
        "peftsearch.methods.bipeft.method:Bipeft",
    ),
)
