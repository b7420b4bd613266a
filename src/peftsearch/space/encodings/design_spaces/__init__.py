"""The encoding of PEFT design spaces: groups of layers, and what each of them gets (Chen et al. 2023)."""

import peftsearch.space.encodings.design_spaces.encoding  # noqa: F401  registers it
