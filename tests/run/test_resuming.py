"""Runs that are stopped, and folders that two runs want."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peftsearch import evaluate, search, train
from peftsearch.cli.main import main
from peftsearch.errors import RunFolderError
from peftsearch.testing.stopping import stopped_often
from peftsearch.training import stop_signals

OFTEN = {"save_steps": 2, "num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 3e-3}


def outcome(result):
    weights = next(path for path in (result.folder / "adapter", result.folder / "model") if path.is_dir())
    tensors = [path.read_bytes() for path in sorted(weights.glob("*.safetensors"))]
    return result.configuration, result.metrics["validation"], result.metrics["test"], tensors


@pytest.mark.parametrize("configuration,seeds", [("lora", 2), ("prefix", 1), ("adalora", 1), ("full", 1)])
def test_a_training_that_is_stopped_every_few_steps_ends_with_the_same_weights(
    configuration, seeds, settings, monkeypatch, tmp_path
):
    def run(name: str, resume: bool = False):
        given = settings(configuration=configuration, method={}, training=OFTEN, output=str(tmp_path / name))
        budget = "" if configuration == "full" else "1500"
        return train(**given | {"resume": resume, "budget": budget, "seeds": seeds})

    first = run("first")
    second, num_stops = stopped_often(lambda resume: run("second", resume), monkeypatch, every=5)
    assert num_stops >= 2 * seeds
    assert outcome(first) == outcome(second)
    log = (second.folder / "training" / "seed-0" / "log.jsonl").read_text().splitlines()
    scores = [json.loads(row) for row in log if "validation_accuracy" in row]
    assert [row["epoch"] for row in scores] == [1.0, 2.0]


def test_sigterm_in_a_step_saves_that_step_and_says_how_to_go_on(settings, monkeypatch, tmp_path, caplog):
    caplog.set_level("INFO")
    first = search(**settings(training=OFTEN, baseline=False, output=str(tmp_path / "first")))
    from peftsearch.training.trainer import TaskTrainer

    training_step, steps = TaskTrainer.training_step, []

    def step(self, *args, **kwargs):
        steps.append(self.state.global_step)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGTERM)
        return training_step(self, *args, **kwargs)

    monkeypatch.setattr(TaskTrainer, "training_step", step)
    again = settings(training=OFTEN, baseline=False, output=str(tmp_path / "second"))
    with stop_signals.handle_signals(), pytest.raises(stop_signals.Interrupted, match="stopped by SIGTERM"):
        search(**again)
    monkeypatch.undo()
    assert len(steps) == 3 and "Saved step 3" in caplog.text
    second = search(**again, resume=True)
    assert "Going on from step 3" in caplog.text
    assert outcome(first) == outcome(second)


def test_the_command_names_the_one_that_goes_on(monkeypatch, capsys, tmp_path):
    def stop(config):
        raise stop_signals.Interrupted(signal.SIGTERM)

    monkeypatch.setattr("peftsearch.run.pipeline.run_search", stop)
    output = str(tmp_path / "my run")
    argv = ["search", "--model", "demo", "--task", "demo", "--budget", "1k", "--overwrite", "--output", output]
    assert main(argv) == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert f"peftsearch search --model demo --task demo --budget 1k --output '{output}' --resume" in said


def test_signals_are_as_before_after_a_run():
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals.handle_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
        with pytest.raises(stop_signals.Interrupted):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_stops_at_once():
    with stop_signals.handle_signals(), stop_signals.defer_to_step_end():
        signal.raise_signal(signal.SIGINT)
        assert stop_signals.is_asked()
        with pytest.raises(stop_signals.Interrupted):
            signal.raise_signal(signal.SIGINT)


HOLD = """
import sys
from pathlib import Path
from peftsearch.run.folder import alone_in

with alone_in(Path(sys.argv[1])):
    print("taken", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_one_process_s_until_it_ends_however_it_ends(tmp_path, settings):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"taken\n"
        with pytest.raises(RunFolderError, match="Another process runs in the output folder"):
            train(**settings(configuration="lora", method={}))
        other.kill()
    assert train(**settings(configuration="lora", method={})).metrics["parameters"] > 0


def test_only_what_differs_is_named_and_saving_may_differ(settings):
    train(**settings(configuration="lora", method={}, training=OFTEN))
    changed = OFTEN | {"learning_rate": 1e-3, "save_steps": 5}
    with pytest.raises(RunFolderError, match=r"\(training.learning_rate: was 0.003, is 0.001\)"):
        train(**settings(configuration="lora", method={}, training=changed, resume=True))
    same = train(**settings(configuration="lora", method={}, training=OFTEN | {"save_steps": 5}, resume=True))
    assert same.metrics["parameters"] > 0


def test_a_comparison_that_is_not_there_cannot_go_on(tmp_path, capsys):
    argv = ["compare", "--model", "demo", "--methods", "lora", "--tasks", "demo", "--budget", "1k", "--resume"]
    assert main([*argv, "--output", str(tmp_path / "no")]) == 2
    assert "no comparison in" in capsys.readouterr().err


def test_a_run_is_not_resumed_on_other_data_and_evaluate_says_that_it_has_changed(settings, tmp_path, caplog):
    given = settings(configuration="lora", method={"rank": 1}, budget="")
    files = [Path(shutil.copy(path, tmp_path)) for path in given["data"].split(",")]
    given["data"] = ",".join(map(str, files))
    result = train(**given)
    record = (result.folder / "split.json").read_bytes()
    kept = evaluate(result.folder)
    # Another copy of the same examples, with line ends of its own, changes nothing.
    files[2].write_bytes(files[2].read_bytes().replace(b"\r\n", b"\n"))
    assert evaluate(result.folder) == kept and "has changed" not in caplog.text
    for number, name in ((2, "test"), (0, "train")):
        rows = files[number].read_text().splitlines()
        files[number].write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")
        with pytest.raises(RunFolderError, match=f"The data has changed.*other examples in .*{name}"):
            train(**given | {"resume": True})
    assert (result.folder / "split.json").read_bytes() == record
    evaluate(result.folder)
    assert "The test split has changed" in caplog.text
