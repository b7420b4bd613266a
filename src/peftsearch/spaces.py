"""Search spaces and their encodings, to list them and to register your own: see "Add something" in the documentation.

Example:
    from peftsearch.spaces import LINEAR_ROLES, Preset, register_space

    register_space(Preset("wide_lora", "LoRA at every linear layer", {"lora": LINEAR_ROLES}, (4, 16), "my notes"))
"""

from peftsearch.space import (
    CROSS_ROLES,
    LINEAR_ROLES,
    NORM_ROLES,
    ONCE_PER_STACK,
    SPACES,
    Choice,
    Configuration,
    Preset,
    Role,
    SearchSpace,
    Site,
    register_space,
)
from peftsearch.space.encoding import ENCODINGS, Encoding, Point, Variable, register_encoding

__all__ = [
    "CROSS_ROLES",
    "ENCODINGS",
    "LINEAR_ROLES",
    "NORM_ROLES",
    "ONCE_PER_STACK",
    "SPACES",
    "Choice",
    "Configuration",
    "Encoding",
    "Point",
    "Preset",
    "Role",
    "SearchSpace",
    "Site",
    "Variable",
    "register_encoding",
    "register_space",
]
