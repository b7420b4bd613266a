"""Checkpoints: what goes in comes out, the newest good one is found, and damage is named."""

import json

import pytest
import torch
from transformers import TrainerState

from peftsearch.errors import CheckpointError, StorageError
from peftsearch.training.checkpoints import Checkpoints, check, read
from peftsearch.training.pytree import join, split

TREE = {
    "none": None,
    "flag": True,
    "numbers": [1, 2.5, float("-inf"), 0.1 + 0.2],
    "text": "ä",
    "by_number": {3: torch.arange(4), -1: torch.tensor(1e-45)},
    "nested": {"empty": {}, "list": [], "tensors": [torch.ones(2, 0), torch.tensor([True, False])]},
    "looks_like_a_tensor": {"tensor": "0"},
    "bf16": torch.tensor([1.5], dtype=torch.bfloat16),
}


def write(checkpoints: Checkpoints, *steps: int):
    return [
        checkpoints.write({"step": step, "x": torch.arange(1000)}, TrainerState(global_step=step)) for step in steps
    ]


def assert_equal(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype and torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            assert_equal(one, other)
    else:
        assert found == expected


def test_a_tree_comes_back_from_json_and_tensors_to_the_bit():
    plain, tensors = split(TREE)
    assert_equal(join(json.loads(json.dumps(plain)), tensors), TREE)


def test_a_tree_of_something_else_is_refused():
    with pytest.raises(TypeError, match="set"):
        split({"a": {1, 2}})


def test_the_newest_are_kept_and_found(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    write(checkpoints, 8, 9, 10)
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["step-10", "step-9"]
    assert read(checkpoints.latest())["step"] == 10
    checkpoints.discard()
    assert checkpoints.latest() is None


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "trainer_state.json", "sha256.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_taken(name, damage, tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path)
    good, bad = write(checkpoints, 5, 10)
    data = bytearray((bad / name).read_bytes())
    if damage == "missing":
        (bad / name).unlink()
    else:
        data[len(data) // 2] ^= 1
        (bad / name).write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    with pytest.raises(CheckpointError, match="damaged"):
        check(bad)
    assert checkpoints.latest() == good
    assert str(bad) in caplog.text and "passed over" in caplog.text


def test_a_checkpoint_that_was_cut_off_while_it_was_written_is_not_seen(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    (good,) = write(checkpoints, 5)
    partial = checkpoints.folder / ".step-10.tmp"
    partial.mkdir()
    (partial / "state.json").write_text("{")
    assert checkpoints.latest() == good
    write(checkpoints, 10)
    assert not partial.exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_ones(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    (good,) = write(checkpoints, 5)

    def full(tensors, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("peftsearch.training.checkpoints.save_file", full)
    with pytest.raises(StorageError, match="step-10': No space left on device.*--resume"):
        write(checkpoints, 10)
    assert checkpoints.latest() == good and [path.name for path in checkpoints.folder.iterdir()] == ["step-5"]


def test_what_cannot_be_deleted_is_an_error_and_what_is_not_there_is_none(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.discard()
    write(checkpoints, 5)

    def busy(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("peftsearch.training.checkpoints.shutil.rmtree", busy)
    with pytest.raises(StorageError, match="Permission denied"):
        checkpoints.discard()
    monkeypatch.undo()
    checkpoints.discard()
    assert checkpoints.latest() is None and not checkpoints.folder.exists()
