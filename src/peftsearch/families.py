"""Model families, to list them and to register one of your own: see the page "Add something" of the documentation.

Example:
    from peftsearch.families import Family, Role, Stack, register_family

    stack = Stack(name="decoder", layers="decoder.layers.{layer}", roles={Role.FFN_IN: "fc1", Role.FFN_OUT: "fc2"})
    register_family(Family(name="opt", description="OPT", model_types=("opt",), stacks=(stack,)))
"""

from peftsearch.models.family import FAMILIES, Family, Stack, register_family
from peftsearch.space import Role

__all__ = ["FAMILIES", "Family", "Role", "Stack", "register_family"]
