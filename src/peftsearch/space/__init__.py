"""Search spaces as plain data: sites, choices, costs and budgets. Nothing here needs torch."""

from peftsearch.space.budget import Budget
from peftsearch.space.configuration import Choice, Configuration, Placement
from peftsearch.space.presets import SPACES, Preset, register_space
from peftsearch.space.search_space import SearchSpace
from peftsearch.space.site import CROSS_ROLES, LINEAR_ROLES, NORM_ROLES, ONCE_PER_STACK, Role, Site, prefix_width

__all__ = [
    "CROSS_ROLES",
    "LINEAR_ROLES",
    "NORM_ROLES",
    "ONCE_PER_STACK",
    "SPACES",
    "Budget",
    "Choice",
    "Configuration",
    "Placement",
    "Preset",
    "Role",
    "SearchSpace",
    "Site",
    "prefix_width",
    "register_space",
]
