"""The encoding of PEFT design spaces: groups of layers, each with kinds of its own (Chen et al. 2023)."""

import peftsearch.space.encodings.design_spaces.encoding  # noqa: F401  registers the encoding
