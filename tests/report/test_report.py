"""The report of a run folder written here by hand."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from peftsearch.errors import RunFolderError
from peftsearch.report.collect import collect
from peftsearch.report.html import write_report
from peftsearch.report.table import print_summary, summary_rows, verdict
from peftsearch.space import Choice, Configuration

EVIL = "<script>alert('x')</script>"


def score(value: float, std: float | None = None) -> dict:
    per_seed = [value] if std is None else [value - std, value, value + std]
    return {"metric": "accuracy", "value": value, "std": std, "per_seed": per_seed, "all": {"accuracy": value}}


def results(**changes) -> dict:
    return {
        "method": "bipeft",
        "space": "s2",
        "seed": 0,
        "model": EVIL,
        "task": EVIL,
        "split": {"rule": EVIL, "sizes": {"train": 10, EVIL: 5}},
        "backbone_parameters": 1_000_000,
        "budget": {"requested": "0.1%", "parameters": 1000},
        "parameters": 990,
        "head_parameters": 66,
        "modules": 2,
        "modules_by_kind": {"bitfit": 1, "lora": 1},
        "metric": "accuracy",
        "selection_metric": "accuracy",
        "validation": score(90.0),
        "test": score(91.0),
        "learning_rate": 0.003,
        "seconds": {"search": 5.0, "train": 10.0},
        "search_steps": 2,
        "search_cost": 0.5,
        "baseline": {"parameters": 900, "validation": score(88.0), "test": score(90.0)},
        "truncated_examples": {"train": 0, EVIL: 1},
        "notes": [EVIL],
        "ladder": [
            {"budget": 1000, "parameters": 990, "modules": 2},
            {"budget": 2000, "parameters": 1900, "modules": 3},
        ],
        "versions": {"torch": "2"},
    } | changes


@pytest.fixture
def run(tmp_path):
    sites = [
        {"name": f"encoder.{i}.{role}", "stack": "encoder", "layer": i, "role": role}
        for i in range(2)
        for role in ("query", "ffn_norm")
    ]
    log = [
        {
            "step": i,
            "expected_parameters": 2000 - 500 * i,
            "live_modules": 9 - i,
            "stability": None,
            "loss_weights": 1.0,
        }
        for i in range(3)
    ]
    (tmp_path / "search").mkdir()
    (tmp_path / "training" / "seed-0").mkdir(parents=True)
    (tmp_path / "search" / "log.jsonl").write_text("\n".join(map(json.dumps, log)))
    (tmp_path / "training" / "seed-0" / "log.jsonl").write_text(
        '{"step": 1, "loss": 2.0, "validation_accuracy": 50}\n'
    )
    (tmp_path / "results.json").write_text(json.dumps(results()))
    (tmp_path / "sites.json").write_text(json.dumps(sites))
    (tmp_path / "config.yaml").write_text(f"model: {EVIL}\n")
    choices = [Choice("encoder.0.query", "lora", 4), Choice("encoder.1.ffn_norm", "bitfit")]
    Configuration.of(choices).save(tmp_path / "configuration.json")
    return tmp_path


def test_the_report_shows_the_numbers_and_loads_nothing(run):
    text = write_report(run).read_text(encoding="utf-8")
    assert "990 of 1,000 allowed (0.1%)" in text and "search over training 0.50" in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


def test_text_from_data_and_names_is_escaped(run):
    assert "<script" not in write_report(run).read_text(encoding="utf-8")


def test_the_map_has_a_tile_with_kind_and_rank_for_each_module(run):
    write_report(run)
    svg = ElementTree.parse(run / "figures" / "map.svg")
    texts = {"".join(element.itertext()).strip() for element in svg.iter() if element.tag.endswith("text")}
    assert {"4", "1", "lora", "bitfit", "encoder"} <= texts


def test_equal_runs_give_equal_bytes(run):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_one_seed_is_not_called_a_gain_beyond_noise():
    text = verdict(results())
    assert "gained 1.00 points" in text and "cannot tell" in text


def test_the_verdict_compares_the_gain_with_its_standard_error():
    def with_deviation(std: float) -> dict:
        return results(test=score(91.0, std), baseline={"parameters": 1, "test": score(90.0, std)})

    assert "is more than twice the standard error" in verdict(with_deviation(0.1))
    # sqrt(2 * 3^2 / 3) = 2.45
    assert "is not more than twice the standard error between trainings (2.45)" in verdict(with_deviation(3.0))


def test_a_loss_is_said_plainly():
    assert verdict(results(test=score(89.0))).startswith("No gain over uniform LoRA: the search lost 1.00 points")


def test_a_tie_is_not_called_a_loss():
    text = verdict(results(test=score(90.0)))
    assert "both score the same, 90.00 test accuracy" in text and "lost" not in text


def test_the_terminal_shows_the_same_rows(run, capsys):
    print_summary(run)
    out = capsys.readouterr().out
    assert "bipeft" in out and dict(summary_rows(collect(run)))["test accuracy"] == "91.00"


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="has no results.json"):
        write_report(tmp_path)
