"""Model families, to list them and to register one of your own: see the page "Add something" of the documentation.

Example:
    register_family(Family(name="opt", description="OPT", model_types=("opt",), stacks=(Stack(...),)))
"""

from peftsearch.models.family import FAMILIES, Family, Stack, register_family
from peftsearch.space import Role

__all__ = ["FAMILIES", "Family", "Role", "Stack", "register_family"]
