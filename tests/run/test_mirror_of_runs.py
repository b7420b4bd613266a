"""Runs that go on where another machine, here another folder, was lost."""

import shutil
import signal

import fsspec
import pytest

from peftsearch import train
from peftsearch.errors import RunFolderError
from peftsearch.settings import SettingError
from peftsearch.training import stop_signals
from peftsearch.training.trainer import TaskTrainer

TRAINING = {"save_steps": 2, "num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 3e-3}


@pytest.fixture
def mirror(bucket) -> str:
    return f"{bucket}/run"


def test_a_lost_machine_s_training_goes_on_from_its_mirror_with_the_same_weights(
    settings, tmp_path, mirror, monkeypatch, caplog
):
    caplog.set_level("INFO")

    def run(name: str, **changes):
        given = settings(configuration="lora", method={}, training=TRAINING, output=str(tmp_path / name))
        return train(**given | {"budget": "1500", "verify": False, "mirror": mirror} | changes)

    training_step, steps = TaskTrainer.training_step, []

    def step(self, *arguments, **options):
        steps.append(self.state.global_step)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGTERM)
        return training_step(self, *arguments, **options)

    with monkeypatch.context() as patch, stop_signals.handle_signals():
        patch.setattr(TaskTrainer, "training_step", step)
        with pytest.raises(stop_signals.Interrupted):
            run("lost")
    shutil.rmtree(tmp_path / "lost")
    with pytest.raises(RunFolderError, match="not empty. Continue that run with --resume"):
        run("found")
    found = run("found", resume=True)
    assert "Going on from step 3" in caplog.text
    whole = run("whole", mirror="")
    weights = [(each.folder / "adapter" / "adapter_model.safetensors").read_bytes() for each in (found, whole)]
    assert weights[0] == weights[1] and found.metrics["test"] == whole.metrics["test"]
    there = {name.removeprefix("/bucket/run/") for name in fsspec.filesystem("memory").find("/bucket/run")}
    here = {path.relative_to(found.folder).as_posix() for path in found.folder.rglob("*") if path.is_file()}
    assert there == here - {".lock"}


def test_a_place_that_holds_something_else_is_left_alone(settings, mirror):
    fsspec.filesystem("memory").pipe("/bucket/run/thesis.tex", b"")
    given = settings(configuration="lora", method={}, mirror=mirror, overwrite=True)
    with pytest.raises(RunFolderError, match=r"holds 1 files, such as 'thesis.tex', and neither a run"):
        train(**given)
    assert fsspec.filesystem("memory").exists("/bucket/run/thesis.tex")


def test_a_url_is_no_output(settings):
    with pytest.raises(SettingError, match="output is 's3://bucket/x', but must be a folder here; give --mirror"):
        train(**settings(configuration="lora", method={}, output="s3://bucket/x"))
