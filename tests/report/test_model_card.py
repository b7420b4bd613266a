"""The model card of a run folder written by hand, read back by the hub's own reader and a Markdown parser."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from finished_run import by_hand, handed_over, results, score, write_run
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from peftsearch.report.result_parts import RandomBaseline, WallTime
from peftsearch.report.run.model_card import make_run_card, write_card
from peftsearch.report.run.record import collect
from peftsearch.report.run.usage import usage_of
from peftsearch.space import Choice, Configuration

EVIL = "<script>alert(1)</script> | [x](http://evil) `a` *b*\n# heading --> \u2028{{ 7 * 7 }}"


def card_of(folder, **changes) -> ModelCard:
    run = write_run(folder / "run", **changes)
    return ModelCard(write_card(collect(run), run / "adapter").read_text(encoding="utf-8"))


def test_the_hub_reads_back_what_was_measured(tmp_path):
    data = card_of(tmp_path).data
    assert data.base_model == "acme/bert" and data.library_name == "peft"
    assert data.datasets == ["nyu-mll/glue"] and data.pipeline_tag == "text-classification"
    assert data.tags == ["peftsearch", "bipeft", "bitfit", "lora", "base_model:adapter:acme/bert"]
    found = {result.metric_name: (result.metric_type, result.metric_value) for result in data.eval_results}
    # Question exact match has no name on the hub; percent become shares.
    assert found == {
        "test accuracy, mean of 3": ("accuracy", 0.685),
        "test macro_f1, mean of 3": ("f1", 0.675),
    }
    assert {(r.dataset_type, r.dataset_config) for r in data.eval_results} == {("nyu-mll/glue", "rte")}
    assert data.metrics == ["accuracy", "f1"] and data.license is None


def test_a_model_and_data_of_ones_own_are_not_named_as_the_hubs(tmp_path):
    split = replace(results().split, source={"data": ["train.csv"]})
    data = card_of(tmp_path, base_model=None, model="/home/me/bert", task="my films", split=split).data
    assert data.base_model is None and data.datasets is None
    assert not any(tag.startswith("base_model") for tag in data.tags)
    assert {result.dataset_type for result in data.eval_results} == {"my-films"}


def test_the_body_says_where_the_modules_are_and_what_they_score(tmp_path):
    text = card_of(tmp_path).text
    assert "| encoder 0 |  | bitfit, lora 4 |" in text
    assert "| encoder, outside of layers | bitfit |  |" in text
    assert "| this | 70.00 ± 1.00 | 68.50 ± 2.00 | 66.50, 68.50, 70.50 |" in text
    assert "1,000 parameters (0.1%)" in text and "uniform LoRA, 900 parameters" in text
    assert results().command in text and "0 = entailment, 1 = not\\_entailment" in text
    assert "/home" not in text and "[More Information Needed]" not in text


def test_text_from_data_cannot_become_markup(tmp_path):
    plain = card_of(tmp_path / "plain", labels=("good",), notes=("good",)).text
    split = replace(results().split, rule=EVIL, sizes={EVIL: 1})
    evil = {"labels": (EVIL,), "notes": (EVIL,), "model": EVIL, "task": EVIL, "split": split, "base_model": None}
    evil |= {"command": f"peftsearch\n```\n{EVIL}", "saved": replace(results().saved, model=f"{EVIL}\n```")}
    shown = card_of(tmp_path / "evil", **evil).text
    kinds = [[token.type for token in _tokens(text)] for text in (plain, shown)]
    assert not {"html_inline", "link_open", "image", "em_open", "code_inline"} & set(kinds[1])
    # One comment is ours, the blocks are the same but for the sizes, of which the plain card has no more.
    assert kinds[1].count("html_block") == 1
    assert kinds[0].count("fence") == kinds[1].count("fence") == 3
    assert kinds[0].count("th_open") == kinds[1].count("th_open")
    assert kinds[0].count("heading_open") == kinds[1].count("heading_open")
    assert "49" not in shown.replace("{{", "")


def _tokens(text: str) -> list:
    parsed = MarkdownIt("commonmark").enable("table").parse(text)
    return [child for token in parsed for child in (token, *(token.children or ()))]


def test_equal_runs_write_equal_cards_whatever_the_clock_says(tmp_path):
    slower = {"seconds": WallTime(search=9.0, train=7.0), "search_cost": 1.3}
    assert str(card_of(tmp_path / "a")) == str(card_of(tmp_path / "b", **slower))


@pytest.mark.parametrize(
    "peft_type,packages,imports", [("PEFTSEARCH", "peftsearch", True), ("ADALORA", "peft transformers", False)]
)
def test_only_our_own_adapters_need_our_package(tmp_path, peft_type, packages, imports):
    run = write_run(tmp_path / "run")
    (run / "adapter" / "adapter_config.json").write_text(json.dumps({"peft_type": peft_type}))
    usage = usage_of(collect(run), run / "adapter", place="me/mine")
    assert usage.packages == packages and ("import peftsearch" in usage.code) == imports
    compile(usage.code, "card", "exec")
    assert 'from_pretrained(base, "me/mine")' in usage.code


def test_the_card_tells_how_the_plain_lora_beside_the_adapter_is_loaded(tmp_path):
    run = write_run(tmp_path / "run")
    assert "plain LoRA" not in card_text(run)
    (run / "lora").mkdir()
    (run / "lora" / "adapter_config.json").write_text("{}")
    assert 'from_pretrained(base, "path/to/the/run/lora")' in card_text(run)
    usage = usage_of(collect(run), run / "adapter", place="me/mine")
    compile(usage.plain, "card", "exec")
    assert 'from_pretrained(base, "me/mine", subfolder="lora")' in usage.plain
    assert "import peftsearch" not in usage.plain


def card_text(run: Path) -> str:
    return make_run_card(collect(run), usage=usage_of(collect(run), run / "adapter")).text


def test_a_random_baseline_has_its_row(tmp_path):
    drawn = RandomBaseline(2, 77, 0.001, score(60.0), score(60.0), 8.0)
    assert "| random configuration, 77 parameters |" in card_of(tmp_path, random_baseline=drawn).text


def test_the_card_of_a_hand_recipe_is_about_that_recipe(tmp_path):
    recipe = by_hand("lnfit_lora", validation=score(72.0, 1.0), test=score(71.0, 1.0))
    run = write_run(tmp_path / "run", baselines=(recipe,), handed_over=handed_over(recipe))
    (run / "baselines" / "lnfit_lora").mkdir(parents=True)
    places = Configuration.of([Choice("encoder.3.value", "lora", 2)])
    places.save(run / "baselines" / "lnfit_lora" / "configuration.json")
    card = make_run_card(collect(run), usage=usage_of(collect(run), run / "adapter"))
    assert card.data.tags[:4] == ["peftsearch", "lnfit_lora", "lnfit", "lora"]
    assert {r.metric_name: r.metric_value for r in card.data.eval_results}["test accuracy, mean of 3"] == 0.71
    assert "# acme/bert, lnfit\\_lora on glue/rte" in card.text and "7 PEFT modules with 950 trained" in card.text
    assert "| this | 72.00 ± 1.00 | 71.00 ± 1.00 |" in card.text
    assert "| searched (bipeft), 990 parameters | 70.00 ± 1.00 |" in card.text
    assert "| uniform LoRA, 900 parameters |" in card.text and "lnfit\\_lora, 950" not in card.text
    assert "72 against 70" in card.text and "were found by peftsearch" not in card.text
    assert "| encoder 3 | lora 2 |" in card.text


def test_a_searched_configuration_that_won_keeps_its_card(tmp_path):
    recipe = by_hand("lnfit_lora", validation=score(69.0, 1.0), test=score(71.0, 1.0))
    told = replace(handed_over(recipe), name="searched", folder="training", reason="The searched one is better.")
    text = card_of(tmp_path, baselines=(recipe,), handed_over=told).text
    assert "| this | 70.00 ± 1.00 |" in text and "| lnfit\\_lora, 950 parameters | 69.00 ± 1.00 |" in text
    assert "The searched one is better." in text and "bipeft on glue/rte" in text


def test_a_whole_model_is_a_model_of_transformers(tmp_path):
    run = write_run(tmp_path / "run", saved=replace(results().saved, saved_as="model"), modules_by_kind={}, modules=0)
    (run / "model").mkdir()
    card = make_run_card(collect(run), usage=usage_of(collect(run), run / "model"))
    assert card.data.library_name == "transformers" and "PeftModel" not in card.text
    assert card.data.base_model == "acme/bert" and "base_model:adapter:acme/bert" not in card.data.tags


def test_one_training_is_said_to_prove_little(tmp_path):
    text = card_of(tmp_path, seeds=1, validation=score(70.0), test=score(68.0), baseline=None).text
    assert "differences of a few points may be chance" in text and "±" not in text
