"""A model on the hub whose weights cannot be had is told before anything of an earlier run is deleted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from peftsearch.testing.tiny_models import save_tiny


def test_an_earlier_run_outlives_a_model_without_weights(reviews, tmp_path):
    cache = tmp_path / "cache" / "models--acme--bert"
    snapshot = save_tiny("bert", cache / "snapshots" / "abc")
    (snapshot / "model.safetensors").unlink()
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    run = tmp_path / "run"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "old_run" / "run", run)
    before = {path.relative_to(run) for path in run.rglob("*")}
    command = [sys.executable, "-m", "peftsearch.cli.main", "train", "--model", "acme/bert", "--data", reviews]
    command += [
        "--text",
        "review",
        "--label",
        "stars",
        "--configuration",
        "bitfit",
        "--output",
        str(run),
        "--overwrite",
    ]
    done = subprocess.run(
        command,
        env=os.environ | {"HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "Cannot load the model 'acme/bert'" in done.stderr, done.stderr
    assert {path.relative_to(run) for path in run.rglob("*")} == before
