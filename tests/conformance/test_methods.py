"""Every registered search method, found through the registry."""

import pytest

from peftsearch.searches.method import METHODS
from peftsearch.testing import MethodTests


class TestMethods(MethodTests):
    methods = [name for name in METHODS if METHODS[name].is_search]
    budgets = ("500", pytest.param("1500", marks=pytest.mark.slow))
