"""Every registered search method, found through the registry."""

from peftsearch.searches.method import METHODS
from peftsearch.testing import MethodTests


class TestMethods(MethodTests):
    methods = [name for name in METHODS if METHODS[name].is_search]
