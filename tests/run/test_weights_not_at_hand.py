"""A model on the hub whose weights cannot be had is told before anything of an earlier run is deleted."""

import shutil
from pathlib import Path

from huggingface_hub import constants

from peftsearch.cli.main import main
from peftsearch.testing.tiny_models import save_tiny


def test_an_earlier_run_outlives_a_model_without_weights(reviews, tmp_path, monkeypatch, capsys):
    cache = tmp_path / "cache" / "models--acme--bert"
    snapshot = save_tiny("bert", cache / "snapshots" / "abc")
    (snapshot / "model.safetensors").unlink()
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    run = tmp_path / "run"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "old_run" / "run", run)
    before = {path.relative_to(run) for path in run.rglob("*")}
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    arguments = ["--model", "acme/bert", "--data", reviews, "--text", "review", "--label", "stars"]
    code = main(["train", *arguments, "--configuration", "bitfit", "--output", str(run), "--overwrite"])
    assert code == 2 and "Cannot load the model 'acme/bert'" in capsys.readouterr().err
    assert {path.relative_to(run) for path in run.rglob("*")} == before
