"""The plan as a Python function; its T5-large figures are in test_main."""

import pytest
from text_families import tiny_config
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, BertModel

from peftsearch import plan
from peftsearch.errors import BudgetError, UnknownNameError
from peftsearch.run.dry_run import describe_search
from peftsearch.run.experiment import Experiment
from peftsearch.run.make_config import make_config
from peftsearch.testing import tiny_tokenizer


def test_sizes_follow_from_the_layers_of_the_model(tiny_folder):
    model = AutoModel.from_pretrained(tiny_folder("bert"))
    layers = model.config.num_hidden_layers
    found = plan(tiny_folder("bert"))
    assert found.sites["encoder query"] == layers
    assert found.backbone_parameters == sum(p.numel() for p in model.parameters())
    assert sum(found.modules_by_kind.values()) == found.modules
    assert found.supernet_parameters == max(found.supernet_parameters_by_rank.values())


def test_a_plan_without_a_budget_has_none(tiny_folder):
    found = plan(tiny_folder("bert"))
    assert found.budget_parameters is None and found.budgets == {}


def test_several_budgets_are_planned_and_the_smallest_is_the_main_one(tiny_folder):
    found = plan(tiny_folder("bert"), budget="2k, 600")
    assert found.budgets == {"2k": 2_000, "600": 600} and found.budget_parameters == 600
    assert plan(tiny_folder("bert"), budget=600).budget_parameters == 600


def test_a_budget_below_the_smallest_module_names_it(tiny_folder):
    smallest = plan(tiny_folder("bert")).smallest_module
    assert plan(tiny_folder("bert"), budget=smallest).budget_parameters == smallest
    with pytest.raises(BudgetError, match=f"{smallest:,}"):
        plan(tiny_folder("bert"), budget=smallest - 1)


@pytest.mark.parametrize("has_pooler", [True, False])
def test_the_budget_is_the_runs_with_and_without_a_pooler(has_pooler, settings, tiny_folder, tmp_path):
    name = str(tmp_path / "model")
    pretrained = BertModel.from_pretrained(tiny_folder("bert"), add_pooling_layer=has_pooler)
    pretrained.save_pretrained(name)
    AutoTokenizer.from_pretrained(tiny_folder("bert")).save_pretrained(name)
    run, found = Experiment.open(make_config(settings(budget="1%") | {"model": name})), plan(name, budget="1%")
    assert found.budgets == run.budgets
    assert found.backbone_parameters == run.backbone_parameters == sum(p.numel() for p in pretrained.parameters())


def test_a_wrong_space_is_named_before_the_model_is_read():
    with pytest.raises(UnknownNameError, match="Known: .*s2"):
        plan("nowhere", space="s4")


def test_a_dry_run_says_what_of_the_model_no_module_can_reach(settings, tmp_path):
    folder = tmp_path / "mixtral"
    AutoModelForSequenceClassification.from_config(tiny_config("mixtral")).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    lines = describe_search(make_config(settings(budget="5%") | {"model": str(folder)})).splitlines()
    (note,) = [line for line in lines if line.startswith("note ")]
    assert "routed experts (49,152 parameters, " in note


def test_a_model_that_hashes_characters_has_no_vocabulary_to_check(settings, tmp_path):
    folder = tmp_path / "canine"
    AutoModelForSequenceClassification.from_config(tiny_config("canine")).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    assert "modules" in describe_search(make_config(settings(budget="5%") | {"model": str(folder)}))
