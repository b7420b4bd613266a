"""Registers the greedy search of PEFT design spaces, and the designs that the paper found."""

from peftsearch.methods.design_spaces.settings import SPACE, DesignSpacesSettings, ReadyDesignSettings
from peftsearch.searches.method import Driver, MethodEntry, register_method

register_method(
    MethodEntry(
        "design_spaces",
        "greedy choice of grouping, allocation, groups and strategies (PEFT Design Spaces, Chen et al. 2023)",
        DesignSpacesSettings,
        Driver.TRIALS,
        "peftsearch.methods.design_spaces.method:DesignSpacesSearch",
        space=SPACE,
        encodings=("design_spaces",),
        quick={"population": 1, "strategies": 1},
    )
)
register_method(MethodEntry("s4", "the design found on T5-base (Chen et al. 2023)", ReadyDesignSettings, space=SPACE))
register_method(MethodEntry("s4-3b", "the design found on T5-3b (Chen et al. 2023)", ReadyDesignSettings, space=SPACE))
