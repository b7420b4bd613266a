"""Manual methods within a budget, AdaLoRA and transferred configurations, from data to adapter."""

import json

import pytest
from transformers import BertConfig

from peftsearch import evaluate, load, train
from peftsearch.errors import BudgetError, ConfigurationError, UnknownNameError
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.testing.tiny_models import build, tiny_tokenizer


@pytest.mark.parametrize("budget", [65, 300, 1500])
def test_adalora_ends_within_the_budget_with_ranks_of_its_own(settings, budget):
    result = train(**settings(configuration="adalora", method={}, budget=str(budget)))
    metrics = result.metrics
    assert metrics["method"] == "adalora"
    assert metrics["parameters"] == count_peft_parameters(load(result.folder)) == budget // 65 * 65
    document = json.loads((result.folder / "adapter" / "adapter_config.json").read_text())
    ranks = [choice.rank for choice in result.configuration]
    assert sum(ranks) == budget // 65
    assert len(ranks) < 8 or any(rank != document["init_r"] for rank in ranks)
    assert evaluate(result.folder)["accuracy"] == pytest.approx(metrics["test"]["value"])


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_adalora_trains_on_other_families(settings, family):
    result = train(**settings(family, configuration="adalora", method={}, budget="600"))
    assert 0 < result.metrics["parameters"] <= 600


def test_adalora_without_a_budget_has_the_mean_rank_of_its_settings(settings):
    result = train(**settings(configuration="adalora", method={"rank": 2, "roles": "query,value"}, budget=""))
    assert result.metrics["parameters"] == 2 * 4 * 65
    assert {c.site.split(".")[-1] for c in result.configuration} <= {"query", "value"}


def test_a_name_that_is_no_manual_method_is_told_the_nearest(settings):
    with pytest.raises(UnknownNameError, match=r"Unknown manual method 'bitfti'\. Did you mean 'bitfit'"):
        train(**settings(configuration="bitfti", method={}))


def test_a_file_without_a_configuration_is_named(settings, tmp_path):
    (tmp_path / "films.csv").write_text("text,label\n")
    with pytest.raises(
        ConfigurationError, match=r"films.csv' holds no configuration that can be read\. .*not valid JSON"
    ):
        train(**settings(configuration=str(tmp_path / "films.csv"), method={}))


def test_adalora_above_the_budget_is_refused_before_it_is_trained(settings, tmp_path):
    with pytest.raises(BudgetError, match="above the budget of 600"):
        train(**settings(configuration="adalora", method={"rank": 8}))
    assert not (tmp_path / "run" / "training").exists()


def test_a_manual_method_in_fewer_layers_says_so(settings):
    result = train(**settings(configuration="low_rank_adapter", method={}, budget="300"))
    assert 0 < result.metrics["parameters"] <= 300
    assert "does not hold low_rank_adapter in every layer" in result.metrics["notes"][0]


def test_given_roles_are_kept_where_the_budget_does_not_hold_them(settings):
    with pytest.raises(BudgetError, match="at least 128"):
        train(**settings(configuration="lora", method={"roles": "query"}, budget="100"))


@pytest.fixture
def deeper(tmp_path) -> str:
    """The tiny BERT with five layers."""
    folder = tmp_path / "deeper"
    sizes = {"vocab_size": 300, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    model = build(BertConfig(**sizes, num_hidden_layers=5, max_position_embeddings=130, pad_token_id=0))
    model.base_model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def test_a_run_is_transferred_to_a_model_of_another_depth(settings, deeper, tmp_path):
    first = train(**settings(configuration="lora", method={}, budget="150"))  # the top layer only
    assert {c.site.split(".")[1] for c in first.configuration} == {"1"}
    moved = settings(configuration=str(first.folder), model=deeper, output=str(tmp_path / "moved"))
    del moved["method"]
    result = train(**moved | {"budget": ""})
    # (t + 0.5) * 2 / 5 is 1 or more from layer 2 on.
    assert {c.site.split(".")[1] for c in result.configuration} == {"2", "3", "4"}
    assert result.metrics["parameters"] == 3 * first.metrics["parameters"]
    assert f"from '{first.folder.name}' (encoder: 2 to 5 layers" in result.metrics["notes"][0]
    assert str(first.folder) not in (result.folder / "adapter" / "README.md").read_text(), "a card may be published"
    with pytest.raises(BudgetError, match="above the budget of 150.*a search on this model"):
        train(**moved | {"budget": "150", "output": str(tmp_path / "budget")})


def test_a_configuration_of_another_sort_of_model_is_refused_with_what_there_is(settings, tmp_path):
    first = train(**settings(configuration="lora", method={}, budget="150"))
    other = settings("llama", configuration=str(first.folder), output=str(tmp_path / "other"), budget="")
    with pytest.raises(ConfigurationError, match="has no encoder, but: decoder"):
        train(**other)
