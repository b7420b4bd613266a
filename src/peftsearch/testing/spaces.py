"""The contract of search spaces: on a model they hold choices that fit, and configurations within a budget."""

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

import pytest
from transformers import PreTrainedModel

from peftsearch.models.discover import find_sites
from peftsearch.modules.costs import cost_at
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import SPACES, SearchSpace
from peftsearch.space.encoding import ENCODINGS
from peftsearch.testing.cases import parametrise
from peftsearch.testing.tiny_models import TINY


class SpaceTests:
    """The contract of a search space.

    Derive from it and name the spaces.

    Example:
        class TestScales(SpaceTests):
            spaces = ("scales",)
    """

    spaces: Iterable[str] = ()
    models: Mapping[str, Callable[[], PreTrainedModel]] = TINY

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test for every space, and for every model where it takes one."""
        parametrise(metafunc, space=self.spaces, family=self.models)

    def test_it_names_what_is_registered(self, space):
        preset = SPACES[space]
        assert preset.name == space and preset.description and preset.source
        assert preset.encoding in ENCODINGS and all(kind in KINDS for kind in preset.roles)
        assert list(preset.ranks) == sorted(set(preset.ranks)) and preset.ranks[0] >= 1

    def test_points_within_a_budget_are_modules_that_fit(self, space, family):
        preset, sites = SPACES[space], find_sites(self.models[family]())
        built = SearchSpace.build(preset, sites=sites, cost=cost_at)
        budget = sum(built.costs.values()) // 2
        make: Any = ENCODINGS[preset.encoding]
        encoding = make(built, budget, sites)
        configuration = encoding.decode(encoding.sample(Random(0)))
        assert 0 < built.cost(configuration) <= budget
        by_name = {site.name: site for site in sites}
        assert all(preset.allows(c.kind, by_name[c.site]) for c in configuration)
