"""Registers the race."""

from peftsearch.methods.race.settings import RaceSettings
from peftsearch.searches.method import Driver, MethodEntry, register_method

register_method(
    MethodEntry(
        "race",
        "what pursuit and BIPEFT find starts together, the best tries other rates, the worse leave early (ours)",
        RaceSettings,
        Driver.RACE,
        "peftsearch.methods.race.pool:Pool",
        quick={"searches": "pursuit", "recipes": "uniform_lora,lnfit", "draws": 1, "rates": 2},
    )
)
