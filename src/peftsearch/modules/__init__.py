"""Module kinds (one file each), the layer that carries their modules, and the peft tuner that attaches them."""

# First of all: our tuner registers once peft is imported, and then needs the files of this package.
import peft  # noqa: F401
