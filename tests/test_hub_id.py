"""Names of models on the hub, told from paths."""

import pytest

from peftsearch.hub_id import hub_id


@pytest.mark.parametrize("name", ["bert-base-uncased", "acme/bert.v2"])
def test_a_hub_id_is_told_from_a_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub_id(name) == name
    (tmp_path / name).mkdir(parents=True)
    assert hub_id(name) is None


@pytest.mark.parametrize("name", [None, "", "/abs/bert", "a/b/c", "model.gguf", "acme/model.gguf"])
def test_what_is_no_hub_id(name):
    assert hub_id(name) is None
