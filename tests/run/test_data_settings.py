"""Settings of the user's data: in the run's files, in comparisons and on resuming."""

import gzip

import pytest
import yaml

from peftsearch import errors, train
from peftsearch.cli.flags import parse_run
from peftsearch.comparison.tasks import TaskList
from peftsearch.run.dry_run import describe_train
from peftsearch.run.folder import read_json
from peftsearch.run.make_config import make_config, read_config
from peftsearch.settings import SettingError

GIVEN = {
    "task_format": "texts",
    "delimiter": ";",
    "encoding": "cp1252",
    "drop_missing": True,
    "goal": "classification",
    "group": "author",
}


@pytest.fixture
def films(tmp_path):
    lines = [f"tr\u00e4ge {i};{i % 2 + 1};{i % 15}" for i in range(60)] + [";1;3"]
    path = tmp_path / "films.csv.gz"
    path.write_bytes(gzip.compress("\n".join(["review;stars;author", *lines]).encode("cp1252")))
    return str(path)


def test_all_are_kept_with_the_run_and_must_be_the_same_to_resume(settings, films, tmp_path):
    training = {"num_train_epochs": 1, "learning_rate": 1e-3}
    given = settings(
        data=films,
        configuration="lora",
        method={},
        budget="",
        training=training,
        max_eval_samples=3,
        verify=True,
        **GIVEN,
    )
    shown = describe_train(make_config(given))
    assert "'validation': 3, 'test': 3" in shown and "labels    2 classes: '1', '2'" in shown
    result = train(**given)
    config = read_config(result.folder / "config.yaml")
    assert {name: getattr(config, name) for name in GIVEN} == GIVEN
    split = read_json(result.folder / "split.json")
    assert split["source"] == {"data": ["films.csv.gz"], "rows": [60], "left_out": [1]}
    for text in (
        "--delimiter ';'",
        "--encoding cp1252",
        "--drop_missing true",
        "--group author",
        "--max_eval_samples 3",
    ):
        assert text in result.metrics["command"]
    with pytest.raises(errors.RunFolderError, match="group: was 'author', is None"):
        train(**given | {"group": None, "resume": True})


def test_they_are_flags_and_keys_of_a_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"model": "demo", "data": "a.csv", "max_eval_samples": 5, **GIVEN}))
    from_file = parse_run("train", ["--config", str(path), "--configuration", "lora"])
    assert {name: getattr(from_file, name) for name in GIVEN} == GIVEN and from_file.max_eval_samples == 5
    flags = ["--goal", "regression", "--delimiter", "|", "--drop_missing", "--encoding=utf-16", "--group", "id"]
    from_flags = parse_run("train", ["--model", "demo", "--data", "a.csv", "--configuration", "lora", *flags])
    assert (from_flags.goal, from_flags.delimiter, from_flags.drop_missing) == ("regression", "|", True)
    assert (from_flags.encoding, from_flags.group) == ("utf-16", "id")
    with pytest.raises(SettingError, match="goal is 'ranking', but must be one of auto, classification, regression"):
        parse_run("train", ["--model", "demo", "--data", "a.csv", "--configuration", "lora", "--goal", "ranking"])


def test_a_task_format_that_is_not_there_is_refused_before_data_is_read():
    with pytest.raises(errors.UnknownNameError, match="Unknown task format 'token'. Did you mean 'tokens'"):
        parse_run("train", ["--model", "demo", "--data", "a.csv", "--configuration", "lora", "--task_format", "token"])


def test_a_task_of_a_comparison_takes_them_all():
    task = {"name": "films", "data": "films.csv.gz", "max_eval_samples": 5, **GIVEN}
    assert TaskList.of([task]).to_plain() == [task]
    with pytest.raises(SettingError, match="Did you mean 'delimiter'"):
        TaskList.of([{**task, "delimeter": ";"}])


def test_a_regression_says_its_range_and_unit_before_it_starts(settings, films):
    given = settings(data=films, configuration="lora", method={}, budget="", **GIVEN | {"goal": "regression"})
    assert "labels    numbers from 1 to 2, trained as deviations of 0.5 from 1.5" in describe_train(make_config(given))
