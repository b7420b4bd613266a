"""Settings of the greedy search of PEFT design spaces, and the designs that the paper found."""

from peftsearch.methods.design_spaces.settings import SPACE, DesignSpacesSettings, ReadyDesignSettings
from peftsearch.searches.method import METHODS, Driver, MethodEntry

METHODS.add(
    "design_spaces",
    MethodEntry(
        "greedy choice of grouping, allocation, groups and strategies (PEFT Design Spaces, Chen et al. 2023)",
        DesignSpacesSettings,
        Driver.TRIALS,
        "peftsearch.methods.design_spaces.method:DesignSpacesSearch",
        space=SPACE,
        encodings=("design_spaces",),
    ),
)
METHODS.add("s4", MethodEntry("the design found on T5-base (Chen et al. 2023)", ReadyDesignSettings, space=SPACE))
METHODS.add("s4-3b", MethodEntry("the design found on T5-3b (Chen et al. 2023)", ReadyDesignSettings, space=SPACE))
