"""What a run noted of its training reaches the tools that train it at full scale."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from peftsearch import export, train
from peftsearch.cli.main import main
from peftsearch.errors import ExportError
from peftsearch.exports.recorded_training import RecordedData, Rows
from peftsearch.run.recorded_training import read_training
from peftsearch.tasks.text_files import TextReading
from peftsearch.testing.tiny_models import save_tiny_language_model

PAIRS = [{"prompt": f"{i} + 1 = ", "completion": str(i + 1)} for i in range(24)]
TRAINING = {"learning_rate": 3e-3, "num_train_epochs": 1, "per_device_train_batch_size": 8, "max_seq_length": 32}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    """A folder with a model, data and a run that was made from relative paths in it."""
    folder = tmp_path_factory.mktemp("old")
    save_tiny_language_model("llama", folder / "model")
    for name, rows in (("train", PAIRS), ("valid", PAIRS[:8])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = {"configuration": "lora", "method": {"rank": 2}, "verify": False, "output": "run", "seed": 5}
        train(model="model", data="train.jsonl,valid.jsonl", training=TRAINING, **made)
    return folder


def test_a_run_notes_what_other_tools_need(made_once, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = read_training(made_once / "run")
    train_file, valid_file = (str((made_once / f"{name}.jsonl").resolve()) for name in ("train", "valid"))
    assert found.data == RecordedData(train_file, valid_file, False, Rows.PAIR, ("prompt", "completion"))
    assert (found.seed, found.max_length, found.settings.learning_rate) == (5, 32, 3e-3)
    assert found.settings.per_device_train_batch_size == 8 and found.counts_answers_alone


def test_the_command_writes_the_settings_and_says_how_to_train(made_once, tmp_path, capsys):
    run, model = made_once / "run", str(made_once / "model")
    main(["export", str(run), "--format", "axolotl", "--model", model, "--output", str(tmp_path / "out")])
    assert "axolotl train axolotl.yaml" in capsys.readouterr().out
    cfg = yaml.safe_load((tmp_path / "out" / "axolotl.yaml").read_text())
    assert (cfg["base_model"], cfg["lora_r"], cfg["sequence_len"]) == (str(Path(model).resolve()), 2, 32)
    assert cfg["test_datasets"][0]["path"] == str((made_once / "valid.jsonl").resolve())


@pytest.fixture
def run(made_once, tmp_path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(made_once / "run", tmp_path / "run"))


def change(run: Path, *, config: dict | None = None, results: dict | None = None) -> Path:
    settings = yaml.safe_load((run / "config.yaml").read_text()) | (config or {})
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    document = json.loads((run / "results.json").read_text()) | (results or {})
    (run / "results.json").write_text(json.dumps(document))
    return run


def reading(run: Path, goal: str, *fields: str) -> dict:
    noted = json.loads((run / "results.json").read_text())["reading"]
    return {"reading": noted | {"goal": goal, "fields": fields}}


@pytest.mark.parametrize(
    "goal,fields,label,rows,columns,along",
    [
        ("language_model", ["body:"], None, Rows.TEXT, ("body",), ()),
        ("instructions", ["question:"], "answer", Rows.PAIR, ("question", "answer"), ()),
        ("chats", ["messages:", "tools:"], None, Rows.CHAT, ("messages",), ("tools",)),
        ("chats", ["prompt:"], None, Rows.CHAT_PAIR, ("prompt", "completion"), ()),
        ("chats", ["asked:"], "said", Rows.CHAT_PAIR, ("asked", "said"), ()),
    ],
)
def test_every_form_of_rows_is_known_again(goal, fields, label, rows, columns, along, run):
    found = read_training(change(run, config={"label": label}, results=reading(run, goal, *fields))).data
    assert (found.rows, found.columns, found.along) == (rows, columns, along)


def test_how_files_were_read_is_noted(run):
    changed = {"delimiter": ";", "encoding": "cp1252", "drop_missing": True, "data": "train.csv"}
    found = read_training(change(run, config=changed)).data
    assert (found.reading, found.leaves_out, found.validation) == (TextReading(";", "cp1252"), True, "")


@pytest.mark.parametrize(
    "tables,validation", [(["me/texts train"], ""), (["me/texts train", "me/texts validation"], "validation")]
)
def test_a_data_set_of_the_hub_keeps_its_name(tables, validation, run):
    split = json.loads((run / "results.json").read_text())["split"]
    split["source"] = {"hub": "me/texts", "data": tables, "rows": [9] * len(tables)}
    found = read_training(change(run, config={"data": "me/texts"}, results={"split": split})).data
    assert (found.train, found.is_on_hub, found.validation) == ("me/texts", True, validation)
    found = read_training(change(run, config={"data": "me/texts:main"}, results={"split": split})).data
    assert (found.train, found.configuration, found.validation) == ("me/texts", "main", validation)


def test_a_run_on_a_task_without_files_is_refused(run):
    change(run, config={"data": None, "task": "glue/rte"}, results={"task": "glue/rte"})
    with pytest.raises(ExportError, match="but on 'glue/rte', and other tools read files"):
        read_training(run)


def test_a_rate_that_was_found_travels(run):
    change(run, results={"learning_rate": 0.007})
    assert read_training(run).settings.learning_rate == 0.007


def test_a_run_of_a_classifier_is_refused(reviews, tiny_folder, tmp_path):
    data = {"data": reviews, "text": "review", "label": "stars"}
    made = {"configuration": "lora", "method": {"rank": 1}, "verify": False, "training": TRAINING}
    train(model=tiny_folder("llama"), output=str(tmp_path / "run"), **data, **made)
    with pytest.raises(ExportError, match="its task is SEQ_CLS, and TRL trains causal language models"):
        export(tmp_path / "run", format="trl", output=tmp_path / "out")
