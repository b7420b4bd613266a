"""Rows of parquet files as `datasets` and Arrow keep them, read as they were meant."""

import pytest

from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.tables import Table, read_table

datasets = pytest.importorskip("datasets")


def written(tmp_path, rows, **types):
    table = datasets.Dataset.from_list(rows)
    for column, feature in types.items():
        table = table.cast_column(column, feature)
    path = tmp_path / "rows.parquet"
    table.to_parquet(path)
    return read_table(path)


def test_classes_have_their_names_and_one_of_minus_1_is_a_gap(tmp_path):
    names = datasets.ClassLabel(names=["no", "yes"])
    found = written(tmp_path, [{"label": 1, "other": 1}, {"label": -1, "other": 0}], label=names)
    assert found == [{"label": "yes", "other": 1}, {"label": None, "other": 0}]


def test_tags_in_lists_have_their_names(tmp_path):
    tags = datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER"]))
    found = written(tmp_path, [{"tokens": ["a", "Ida"], "ner_tags": [0, 1]}], ner_tags=tags)
    assert found == [{"tokens": ["a", "Ida"], "ner_tags": ["O", "B-PER"]}]


def test_objects_have_the_keys_that_they_had(tmp_path):
    calls = [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "add", "arguments": {"a": 1}}]
    rows = [{"calls": [call], "note": None} for call in calls]
    assert written(tmp_path, rows) == rows


def test_a_configuration_of_a_data_set_on_the_hub_stands_after_a_colon(monkeypatch, tmp_path):
    rows = datasets.Dataset.from_list([{"text": f"text {i}", "label": i % 2} for i in range(20)])
    rows = rows.cast_column("label", datasets.ClassLabel(names=["no", "yes"]))
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *given: asked.append(given) or {"train": rows})
    monkeypatch.chdir(tmp_path)
    task = load_task(TaskRequest(data="me/texts:main"))
    assert asked == [("me/texts", "main")] and task.labels == ("no", "yes")
    assert (task.source["hub"], task.source["configuration"]) == ("me/texts", "main")
    assert "configuration" not in load_task(TaskRequest(data="me/texts")).source and asked[1] == ("me/texts", None)


def test_the_first_cells_show_what_columns_hold():
    rows = [{"a": None, "b": float("nan")}, {"a": 1, "c": "x"}, {"a": 2, "b": 3}]
    assert Table("rows", rows).first_cells == {"a": 1, "b": 3, "c": "x"}
    assert Table("rows", [{"a": None}]).first_cells == {"a": None}
