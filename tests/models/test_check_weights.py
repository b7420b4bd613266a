"""A checkpoint that cannot be loaded is told before a run starts."""

import json

import pytest
from safetensors.torch import load_file, save_file

from peftsearch.errors import ModelError
from peftsearch.models.check_weights import check_weights
from peftsearch.models.load import sketch_model
from peftsearch.task_head import TaskHead
from peftsearch.testing.tiny_models import TINY, save_tiny


@pytest.mark.parametrize("family", list(TINY))
def test_a_good_checkpoint_passes_also_in_shards(family, tmp_path):
    folder = save_tiny(family, tmp_path / family)
    num_labels = None if TINY[family]().config.is_encoder_decoder else 3
    check_weights(sketch_model(str(folder), TaskHead.of_labels(num_labels)))
    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    halves = [dict(list(tensors.items())[i::2]) for i in range(2)]
    for i, half in enumerate(halves):
        save_file(half, folder / f"model-{i}.safetensors", metadata={"format": "pt"})
    index = {"weight_map": {name: f"model-{i}.safetensors" for i, half in enumerate(halves) for name in half}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    whole.unlink()
    check_weights(sketch_model(str(folder), TaskHead.of_labels(num_labels)))


@pytest.mark.parametrize(
    "damage,message",
    [
        (lambda path: path.unlink(), "no file named model.safetensors"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
        (lambda path: path.write_bytes(b"x"), "damaged"),
    ],
)
def test_missing_and_damaged_weights_are_told(damage, message, tmp_path):
    folder = save_tiny("bert", tmp_path / "bert")
    damage(folder / "model.safetensors")
    with pytest.raises(ModelError, match=message):
        check_weights(sketch_model(str(folder), TaskHead.of_labels(2)))


def test_weights_of_another_size_are_told_but_not_those_of_a_head(tmp_path):
    folder = save_tiny("bert", tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    check_weights(sketch_model(str(folder), TaskHead.of_labels(7)))
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 65}))
    with pytest.raises(ModelError, match=r"sizes .* 'bert\.encoder\.layer\.0\.intermediate"):
        check_weights(sketch_model(str(folder), TaskHead.of_labels(2)))
