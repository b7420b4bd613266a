"""What is refused before anything is written: models and devices that do not suit."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from peftsearch import search, train
from peftsearch.errors import ModelError, PeftSearchError
from peftsearch.run.dry_run import describe_train
from peftsearch.run.make_config import make_config
from peftsearch.settings import SettingError
from peftsearch.testing.tiny_models import TINY, save_tiny, tiny_tokenizer


def refused(settings: dict, error: type[Exception], message: str) -> None:
    """Expect the same words from a dry run and from the run, and no folder."""
    with pytest.raises(error, match=message):
        describe_train(make_config(settings))
    with pytest.raises(error, match=message):
        train(**settings)
    assert not Path(settings["output"]).exists()


def test_a_tokenizer_with_more_tokens_than_the_model_has_embeddings(settings, tmp_path):
    folder = save_tiny("llama", tmp_path / "llama")
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"word{i}" for i in range(1000)])
    tokenizer.save_pretrained(folder)
    given = settings(configuration="lora", method={}, budget="", model=str(folder))
    refused(given, ModelError, rf"has {len(tokenizer):,} tokens, but the model has embeddings for \d+.*resize_token")


def test_bfloat16_on_a_device_without_it(settings, monkeypatch):
    monkeypatch.setattr("peftsearch.training.arguments.is_torch_bf16_gpu_available", lambda: False)
    given = settings(configuration="lora", method={}, budget="", training={"bf16": "true"})
    refused(given, SettingError, "training.bf16 is true, but no device here trains in bfloat16")


def test_several_workers_without_ray(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    given = settings(method="race", budget="1200", workers=2)
    with pytest.raises(PeftSearchError, match=r"pip install 'peftsearch\[ray\]'"):
        search(**given)
    assert not Path(given["output"]).exists()


def test_a_head_of_another_task_is_told_at_the_start_and_in_the_results(settings, tmp_path, caplog):
    TINY["bert"]().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    given = settings(configuration="lora", method={}, budget="", model=str(tmp_path / "model"))
    said = r"has a task head already, which was trained for 2 other output\(s\) \(LABEL_0, LABEL_1\)"
    assert re.search(said, describe_train(make_config(given)))
    notes = train(**given).metrics["notes"]
    assert any(re.search(said, note) for note in notes) and re.search(said, caplog.text)
    same = Path(shutil.copytree(given["model"], tmp_path / "same")) / "config.json"
    same.write_text(json.dumps(json.loads(same.read_text()) | {"id2label": {"0": "down", "1": "up"}}))
    assert "has a task head" not in describe_train(
        make_config(given | {"model": str(same.parent), "output": str(tmp_path / "other")})
    )
