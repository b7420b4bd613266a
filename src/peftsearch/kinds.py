"""Module kinds, to list them and to register one of your own: see the page "Add something" of the documentation.

Example:
    from peftsearch.kinds import KINDS

    for name in KINDS:
        print(name, KINDS[name].description)
"""

from peftsearch.modules.peft_module import KINDS, UNMASKED, Mask, PeftModule, is_plain, layer_widths, register_kind
from peftsearch.modules.plain_forms import LoraUpdate, PlainBottleneck
from peftsearch.space import Role, Site

__all__ = [
    "KINDS",
    "UNMASKED",
    "LoraUpdate",
    "Mask",
    "PeftModule",
    "PlainBottleneck",
    "Role",
    "Site",
    "is_plain",
    "layer_widths",
    "register_kind",
]
