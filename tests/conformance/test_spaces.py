"""Every registered search space on a tiny model of every family."""

from peftsearch.space import SPACES
from peftsearch.testing import SpaceTests


class TestSpaces(SpaceTests):
    spaces = SPACES
