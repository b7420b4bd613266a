"""A run folder, a model or data that lies elsewhere by now."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from peftsearch import evaluate, export, load, train
from peftsearch.api.runs import Result
from peftsearch.cli.main import main
from peftsearch.errors import DataError, ModelError, RunFolderError
from peftsearch.models.fingerprint import fingerprint
from peftsearch.testing.tiny_models import save_tiny


@pytest.fixture(scope="module")
def made_once(reviews, tmp_path_factory) -> tuple[Path, Result]:
    """A folder with a model, data and a run that was made from relative paths in it."""
    folder = tmp_path_factory.mktemp("old")
    save_tiny("bert", folder / "model")
    data = [Path(shutil.copy(path, folder)).name for path in reviews.split(",")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = train(**given(data=",".join(data)))
    return folder, made


def given(**changes) -> dict:
    training = {"learning_rate": 3e-3, "num_train_epochs": 1, "per_device_train_batch_size": 8, "max_seq_length": 32}
    settings = {"model": "model", "text": "review", "label": "stars", "configuration": "lora", "method": {"rank": 1}}
    return (
        settings
        | {"training": training, "verify": False, "output": "run", "data": "train.csv,valid.csv,test.csv"}
        | changes
    )


@pytest.fixture
def elsewhere(made_once, tmp_path, monkeypatch) -> Path:
    """Another working directory, with a copy of the run alone."""
    shutil.copytree(made_once[0] / "run", tmp_path / "new" / "run")
    monkeypatch.chdir(tmp_path / "new")
    return made_once[0]


def places(old: Path) -> tuple[str, str]:
    return str(old / "model"), ",".join(str(old / name) for name in ("train.csv", "valid.csv", "test.csv"))


def test_what_is_missing_is_named_with_the_folder_that_it_was_in(elsewhere, capsys):
    said = f"the run was made from the relative path 'model' in '{elsewhere}'. Say where it is with --model"
    for act in (load, evaluate, lambda run: export(run, format="lora", output="lora")):
        with pytest.raises(ModelError) as refused:
            act("run")
        assert said in str(refused.value)
    with pytest.raises(DataError, match="relative path 'train.csv' in .* with --data"):
        evaluate("run", model=places(elsewhere)[0])
    assert main(["evaluate", "run"]) == 2 and said in capsys.readouterr().err
    assert main(["report", "run"]) == 0


def test_a_moved_run_is_evaluated_loaded_and_exported_with_the_places_given(elsewhere, made_once, capsys, caplog):
    model, data = places(elsewhere)
    expected = made_once[1].metrics["test"]["all"]
    assert evaluate("run", model=model, data=data) == pytest.approx(expected)
    assert main(["evaluate", "run", "--model", model, "--data", data]) == 0
    assert '"accuracy"' in capsys.readouterr().out
    saved = load_file("run/adapter/adapter_model.safetensors")
    state = load("run", model=model).state_dict()
    loaded = {name.replace(".modules_to_save", "").replace(".default", ""): state[name] for name in state}
    assert saved and all((loaded[name] == tensor).all() for name, tensor in saved.items())
    assert export("run", format="lora", output="lora", model=model).difference < 1e-5
    assert "other files" not in caplog.text and "has changed" not in caplog.text


def test_a_run_goes_on_with_model_and_data_at_other_paths(elsewhere, made_once):
    model, data = places(elsewhere)
    weights = Path("run/adapter/adapter_model.safetensors").read_bytes()
    for name in ("adapter", "training"):
        shutil.rmtree(f"run/{name}")
    Path("run/results.json").unlink()
    again = train(**given(model=model, data=data, resume=True))
    assert Path("run/adapter/adapter_model.safetensors").read_bytes() == weights
    assert again.metrics["test"] == made_once[1].metrics["test"]
    # From now on these are its places.
    assert evaluate("run") == pytest.approx(again.metrics["test"]["all"])


def test_other_weights_are_refused_on_resuming_and_said_on_loading(elsewhere, tmp_path, caplog):
    other = Path(shutil.copytree(elsewhere / "model", tmp_path / "other"))
    tensors = load_file(other / "model.safetensors")
    tensors["encoder.layer.0.attention.self.query.weight"][0, 0] += 0.5
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    data = places(elsewhere)[1]
    with pytest.raises(RunFolderError, match=r"has other files than .* relative path 'model' in"):
        train(**given(model=str(other), data=data, resume=True))
    load("run", model=str(other))
    assert "has other files than the one that 'run' was made with" in caplog.text


def test_a_fingerprint_is_that_of_a_copy_and_changes_with_weights_configuration_and_tokenizer(tmp_path):
    folder = save_tiny("bert", tmp_path / "model")
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "README.md").write_text("says nothing")
    assert fingerprint(str(copy)) == fingerprint(str(folder)) is not None
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        changed = Path(shutil.copytree(folder, tmp_path / name))
        content = bytearray((changed / name).read_bytes())
        content[-2] ^= 1
        (changed / name).write_bytes(content)
        assert fingerprint(str(changed)) != fingerprint(str(folder)), name
    assert fingerprint("acme/model") is None and fingerprint(str(tmp_path / "none")) is None


def test_a_large_file_is_known_by_its_start_its_size_and_blocks_of_it(tmp_path):
    size = 30_000_000
    (tmp_path / "model.safetensors").write_bytes(bytes(size))
    plain = fingerprint(str(tmp_path))
    # 64 blocks of 65,536 bytes over 29 MB: one starts every 459,000 bytes, and the last ends with the file.
    for place in (0, 1_048_575, 1_048_576, size - 1):
        content = bytearray(size)
        content[place] = 1
        (tmp_path / "model.safetensors").write_bytes(content)
        assert fingerprint(str(tmp_path)) != plain, place
    (tmp_path / "model.safetensors").write_bytes(bytes(size + 1))
    assert fingerprint(str(tmp_path)) != plain
