import pytest

from peftsearch import search, train
from peftsearch.errors import BudgetError, ConfigurationError
from peftsearch.space import SPACES

pytestmark = pytest.mark.skipif("design_spaces" not in SPACES, reason="needs the kinds serial_adapter and prefix")


@pytest.mark.parametrize("family", ["bert", "t5", "gpt2"])
def test_a_ready_design_is_trained_by_its_name(family, settings):
    without_method = {name: value for name, value in settings(family, budget="900").items() if name != "method"}
    metrics = train(**without_method, configuration="s4").metrics
    assert metrics["method"] == "s4"
    assert 0 < metrics["parameters"] <= 900


def test_a_ready_design_needs_a_budget_and_its_space(settings):
    without_method = {name: value for name, value in settings().items() if name != "method"}
    with pytest.raises(BudgetError, match="Give --budget"):
        train(**without_method | {"budget": ""}, configuration="s4")
    with pytest.raises(ConfigurationError, match="needs the space 'design_spaces'"):
        train(**without_method, configuration="s4", space="s2")


def test_the_greedy_search_ends_in_a_design_for_each_budget(settings):
    method = {"name": "design_spaces", "population": 1, "strategies": 1, "epochs": 0.5}
    metrics = search(**settings(budget="900,1500", baseline=False, method=method)).metrics
    assert [rung["budget"] for rung in metrics["ladder"]] == [900, 1500]
    assert all(0 < rung["parameters"] <= rung["budget"] for rung in metrics["ladder"])
