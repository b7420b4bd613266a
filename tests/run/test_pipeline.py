"""Runs from data to adapter on tiny models, read back as a user would."""

import json

import peft
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from peftsearch import evaluate, load, search, train
from peftsearch.errors import BudgetError, ConfigurationError, RunFolderError, TrainingError
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.space import Configuration

REQUIRED = {
    "method", "space", "seed", "model", "task", "split", "backbone_parameters", "budget", "parameters",
    "head_parameters", "modules_by_kind", "validation", "test", "seconds", "search_cost", "baseline",
    "random_baseline", "versions", "verdict",
}  # fmt: skip


@pytest.mark.parametrize("family", ["bert", "t5", "t5-gated", "llama", "gpt2", "bart"])
def test_a_search_ends_in_an_adapter_within_the_budget(family, settings):
    result = search(**settings(family, keep="searched"))
    metrics = result.metrics
    assert metrics.keys() >= REQUIRED
    assert 0 < metrics["parameters"] <= metrics["budget"]["parameters"] == 600
    assert metrics["baseline"] is None or metrics["baseline"]["parameters"] <= 600
    assert metrics["search_cost"] == pytest.approx(metrics["seconds"]["search"] / metrics["seconds"]["train"])

    tensors = load_file(result.folder / "adapter" / "adapter_model.safetensors")
    assert sum(t.numel() for name, t in tensors.items() if "peftsearch_" in name) == metrics["parameters"]
    is_text_to_text = family in ("t5", "t5-gated", "bart")
    loader = AutoModelForSeq2SeqLM if is_text_to_text else AutoModelForSequenceClassification
    model = PeftModel.from_pretrained(loader.from_pretrained(metrics["model"]), str(result.folder / "adapter"))
    assert count_peft_parameters(model) == metrics["parameters"]


@pytest.mark.parametrize("family,space", [("bert", "s1"), ("t5", "s1"), ("llama", "all"), ("deberta-v2", "s1")])
def test_the_spaces_with_adapters_and_prefixes_end_in_an_adapter_that_loads(family, space, settings):
    result = search(**settings(family, space=space, budget="2500", baseline=False))
    metrics = result.metrics
    assert 0 < metrics["parameters"] <= 2500
    tensors = load_file(result.folder / "adapter" / "adapter_model.safetensors")
    assert sum(t.numel() for name, t in tensors.items() if "peftsearch_" in name) == metrics["parameters"]
    # A prefix costs least in s1, so that the repair always finds room for one.
    assert (family == "deberta-v2") == ("prefix" not in metrics["modules_by_kind"]) or space == "all"
    ids = torch.tensor([[7, 8, 9]])
    inputs = {"decoder_input_ids": ids} if family == "t5" else {}
    again = load(result.folder).eval()(ids, **inputs).logits
    assert torch.equal(again, result.model.eval()(ids, **inputs).logits)


def test_a_random_configuration_of_the_same_budget_is_trained_on_demand(settings):
    result = search(**settings(random_baseline=True))
    drawn, record = result.metrics["random_baseline"], result.folder / "random_baseline"
    configuration = Configuration.load(record / "configuration.json")
    assert len(configuration) == drawn["modules"] and 0 < drawn["parameters"] <= 600
    base = AutoModelForSequenceClassification.from_pretrained(result.metrics["model"])
    model = PeftModel.from_pretrained(base, str(record / "seed-0" / "adapter"))
    assert count_peft_parameters(model) == drawn["parameters"]
    assert configuration != result.configuration and "random" in (result.folder / "report.html").read_text()


def test_the_saved_run_scores_what_it_reported(settings):
    result = search(**settings(baseline=False))
    again = evaluate(result.folder)
    assert again["accuracy"] == pytest.approx(result.metrics["test"]["value"])
    ids = torch.tensor([[7, 8, 9]])
    assert torch.equal(load(result.folder).eval()(ids).logits, result.model.eval()(ids).logits)


def test_the_same_seed_gives_the_same_adapter(settings, tmp_path):
    files = []
    for name in ("a", "b"):
        folder = search(**settings(output=str(tmp_path / name), baseline=False)).folder
        files.append((folder / "configuration.json").read_bytes())
        files.append((folder / "adapter" / "adapter_model.safetensors").read_bytes())
        files.append((folder / "adapter" / "adapter_config.json").read_bytes())
    assert files[:3] == files[3:]


def test_the_adapter_says_how_it_came_about(settings):
    folder = search(**settings(seed=3, keep="searched")).folder
    for saved, method in (("adapter", "bipeft"), ("baseline/seed-3/adapter", "uniform_lora")):
        found = json.loads((folder / saved / "adapter_config.json").read_text())["provenance"]
        assert {"method": method, "budget": 600, "seed": 3}.items() <= found.items()
        assert found["versions"]["peft"] == peft.__version__


def test_a_ladder_gives_a_nested_configuration_for_each_budget(settings):
    result = search(**settings(budget="600,1500,900", baseline=False))
    sizes = [rung["parameters"] for rung in result.metrics["ladder"]]
    assert [rung["budget"] for rung in result.metrics["ladder"]] == [600, 900, 1500]
    assert sizes == sorted(sizes) and result.metrics["parameters"] <= 600
    larger = Configuration.load(result.folder / "ladder" / "900" / "configuration.json")
    assert {c.placement for c in result.configuration} <= {c.placement for c in larger}


def test_several_seeds_give_a_mean_and_a_deviation(settings):
    metrics = train(**settings(configuration="lora", method={"rank": 1}, seeds=2, budget="")).metrics
    first, second = metrics["test"]["per_seed"]
    assert metrics["test"]["value"] == pytest.approx((first + second) / 2)
    assert metrics["test"]["std"] == pytest.approx(abs(first - second) / 2**0.5)


@pytest.mark.parametrize("name", ["lora", "bitfit", "lnfit", "low_rank_adapter", "head", "full"])
def test_every_manual_configuration_trains(name, settings):
    result = train(**settings(configuration=name, method={"rank": 2}, budget="", learning_rate_grid="1e-3,3e-3"))
    assert result.metrics["method"] == name
    expected = {"head": 0, "full": result.metrics["backbone_parameters"]}
    assert result.metrics["parameters"] == expected.get(name, result.metrics["parameters"])
    assert result.metrics["learning_rate"] in (1e-3, 3e-3)
    assert evaluate(result.folder)["accuracy"] == pytest.approx(result.metrics["test"]["value"])


def test_roles_restrict_a_manual_configuration(settings):
    result = train(**settings(configuration="lora", method={"rank": 2, "roles": "query,value"}, budget=""))
    assert {c.site.split(".")[-1] for c in result.configuration} == {"query", "value"}
    assert result.metrics["parameters"] == 2 * 2 * 2 * (32 + 32)  # layers, roles, rank, widths


def test_a_found_configuration_can_be_trained_again(settings, tmp_path):
    found = search(**settings(baseline=False))
    again = train(**settings(configuration=str(found.folder), output=str(tmp_path / "again")))
    assert again.configuration == found.configuration


def test_inherited_weights_start_from_the_supernet(settings):
    result = search(**settings(inherit=True, baseline=False))
    assert (result.folder / "search" / "inherited" / "adapter_model.safetensors").is_file()


def test_a_configuration_above_the_budget_is_refused_before_it_is_trained(settings, tmp_path):
    with pytest.raises(BudgetError, match="above the budget of 600"):
        train(**settings(configuration="lora", method={"rank": 8}))
    assert not (tmp_path / "run" / "training").exists()


def test_a_budget_above_the_space_uses_all_of_it_and_says_so(settings):
    result = search(**settings(budget="10m", baseline=False))
    assert "larger than the whole space" in result.metrics["notes"][0]
    assert result.metrics["modules"] == 38  # every module of s2 on two BERT layers


def test_a_search_too_short_to_choose_says_so(settings):
    result = search(**settings(baseline=False, method={"name": "bipeft", "warmup": 1000}))
    assert "without a single trigger" in result.metrics["notes"][0]


def test_a_folder_with_files_is_refused_without_resume_or_overwrite(settings, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="--resume.*--overwrite"):
        search(**settings())
    with pytest.raises(RunFolderError, match="does not hold a run"):
        search(**settings(overwrite=True))
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_a_finished_stage_is_not_repeated_on_resume(settings):
    first = search(**settings(baseline=False))
    log = first.folder / "search" / "log.jsonl"
    log.write_text("untouched\n")
    (first.folder / "results.json").unlink()
    (first.folder / "training" / "seed-0" / "trained.json").unlink()
    log_of_training = json.loads((first.folder / "search" / "search.json").read_text())
    log.unlink()
    second = search(**settings(baseline=False, resume=True))
    assert second.configuration == first.configuration
    assert second.metrics["test"] == first.metrics["test"]
    assert second.metrics["seconds"]["search"] == log_of_training["seconds"]


def test_resuming_with_other_settings_shows_the_difference(settings):
    search(**settings(baseline=False))
    with pytest.raises(RunFolderError, match="budget: was '600', is '700'"):
        search(**settings(baseline=False, resume=True, budget="700"))


def test_a_loss_that_is_not_a_number_stops_and_names_the_step(settings):
    training = settings()["training"] | {"learning_rate": 1e30, "max_grad_norm": 1e30}
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) at step \d+"):
        train(**settings(configuration="lora", method={"rank": 2}, budget="", training=training))


def test_a_manual_configuration_is_not_searched(settings):
    with pytest.raises(ConfigurationError, match="peftsearch train --configuration lora"):
        search(**settings(method="lora"))


def test_a_search_from_a_configuration_is_refused(settings):
    with pytest.raises(ConfigurationError, match="train --configuration other_run"):
        search(**settings(configuration="other_run"))


def test_a_search_without_a_budget_asks_for_one(settings):
    with pytest.raises(BudgetError, match="Give --budget"):
        search(**settings(budget=""))
