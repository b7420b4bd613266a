"""HOW a choice changes a layer: one file a kind, the layer that carries them, and the peft tuner that places them."""

# First of all: our tuner registers when peft has been imported, and needs this package's files then.
import peft  # noqa: F401
