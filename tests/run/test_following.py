"""What a search writes as it runs is what docs/following.md says."""

import json
import re
from pathlib import Path

import pytest

from peftsearch.run.experiment import Experiment
from peftsearch.run.make_config import make_config
from peftsearch.run.search import search_configuration
from peftsearch.run.search_request import SearchRequest

TEXT = (Path(__file__).parents[2] / "docs" / "following.md").read_text(encoding="utf-8")


def documented(heading: str) -> list[tuple[set[str], str]]:
    """Fields and the second column of each row of the tables below a heading."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE)
    return [(set(re.findall(r"`(\w+)`", fields)), second) for fields, second in rows]


def search(settings, folder: Path, **changes) -> Path:
    config = make_config(settings(**changes))
    request = SearchRequest(config.method_name, config.method)
    search_configuration(Experiment.open(config), request, folder)
    return folder / "search"


def fields_of(path: Path) -> set[str]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {name for row in rows for name in row}


METHODS = {
    "bipeft": {"max_triggers": 100, "warmup": 0.2, "window": 1, "threshold": -1},
    "s3delta": {},
    "prunepeft": {},
    "evolutionary": {"population": 2, "generations": 1},
}


@pytest.mark.parametrize("method", METHODS)
def test_the_log_holds_the_documented_fields(method, settings, tmp_path):
    training = settings()["training"] | {"per_device_train_batch_size": 4}
    folder = search(settings, tmp_path, method={"name": method, **METHODS[method]}, training=training, budget="2000")
    expected = [fields for fields, methods in documented("search/log.jsonl") if methods == "all" or method in methods]
    assert fields_of(folder / "log.jsonl") == set().union(*expected)


def test_trials_hold_the_documented_fields(settings, tmp_path):
    folder = search(settings, tmp_path, method={"name": "random", "trials": 2})
    expected = [fields for fields, _ in documented("search/trials.jsonl")]
    assert fields_of(folder / "trials.jsonl") == set().union(*expected)
