"""The head and the sizes of a model, with its weights and from its configuration and the checkpoint's keys alone."""

import json
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from peftsearch import plan
from peftsearch.models.checkpoint import checkpoint_keys
from peftsearch.models.discover import find_sites
from peftsearch.models.head import find_head
from peftsearch.models.load import load_model, load_task_model, sketch_model
from peftsearch.task_head import TaskHead
from peftsearch.testing.tiny_models import TINY, save_tiny, tiny_tokenizer

TEXT_TO_TEXT = {"t5", "t5-gated", "bart"}
WEIGHTS = "model.safetensors"


def without_pooler(folder: Path) -> Path:
    """Take the pooler's tensors out of a checkpoint."""
    tensors = load_file(folder / WEIGHTS)
    kept = {name: tensor for name, tensor in tensors.items() if "pooler." not in name}
    assert len(kept) < len(tensors)
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def base_model_alone(family: str, folder: Path) -> Path:
    """Save what most pretrained checkpoints hold: the base model, whose keys have no prefix."""
    TINY[family]().base_model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def sizes(found) -> tuple:
    return found.head, found.backbone_parameters, found.head_parameters, find_sites(found.model)


def check_sizes_and_sites(name: str, family: str):
    num_labels = None if family in TEXT_TO_TEXT else 3
    loaded, sketch = load_model(name, num_labels=num_labels), sketch_model(name, TaskHead.of_labels(num_labels))
    assert sizes(sketch) == sizes(loaded)
    assert loaded.backbone_parameters == plan(name, batches=None).backbone_parameters
    assert loaded.backbone_parameters + loaded.head_parameters == sum(p.numel() for p in loaded.model.parameters())
    assert all(p.is_meta for p in sketch.model.parameters())


@pytest.mark.parametrize("is_base_alone", [True, False])
@pytest.mark.parametrize("family", list(TINY))
def test_every_family_has_the_same_sizes_and_sites_with_and_without_weights(family, is_base_alone, tmp_path):
    folder = base_model_alone(family, tmp_path) if is_base_alone else save_tiny(family, tmp_path)
    check_sizes_and_sites(str(folder), family)


@pytest.mark.parametrize("is_base_alone", [True, False])
def test_a_checkpoint_without_its_pooler_has_them_too(is_base_alone, tmp_path):
    folder = base_model_alone("bert", tmp_path) if is_base_alone else save_tiny("bert", tmp_path)
    check_sizes_and_sites(str(without_pooler(folder)), "bert")


@pytest.mark.parametrize(
    "family,head",
    [
        ("bert", ("classifier",)),
        ("distilbert", ("classifier", "pre_classifier")),
        ("deberta-v2", ("classifier", "pooler")),
        ("mpnet", ("classifier",)),
        ("llama", ("score",)),
        ("t5", ()),
    ],
)
def test_the_head_is_what_stands_outside_of_the_backbone(family, head, tmp_path):
    folder = str(save_tiny(family, tmp_path))
    assert load_model(folder, num_labels=None if family == "t5" else 2).head == head


def test_a_pooler_without_weights_in_the_checkpoint_is_trained_with_the_head(tmp_path):
    name = str(without_pooler(base_model_alone("bert", tmp_path)))
    loaded = load_model(name, num_labels=2)
    assert loaded.head == ("classifier", "bert.pooler")
    assert loaded.backbone_parameters == sum(
        p.numel() for n, p in loaded.model.bert.named_parameters() if "pooler" not in n
    )


def test_a_fully_fine_tuned_copy_counts_like_the_pretrained_model(tmp_path):
    name = str(without_pooler(base_model_alone("bert", tmp_path / "pretrained")))
    loaded = load_model(name, num_labels=2)
    loaded.model.save_pretrained(tmp_path / "tuned")
    copy = load_task_model(name, TaskHead.of_labels(2), weights=tmp_path / "tuned")
    assert sizes(copy) == sizes(loaded)


def test_a_folder_without_weights_lacks_nothing(tmp_path):
    TINY["bert"]().config.save_pretrained(tmp_path)
    assert checkpoint_keys(str(tmp_path)) is None
    assert sketch_model(str(tmp_path), TaskHead.of_labels(2)).head == ("classifier",)


def test_a_model_in_hand_lacks_nothing_unless_its_checkpoint_says_so():
    model = TINY["bert"]()
    assert find_head(model) == ("classifier",)
    assert find_head(model, {"bert.pooler.dense.weight"}) == ("classifier", "bert.pooler")
    assert find_head(model, {"pooler.dense.weight", "bert.pooler.dense.bias"}) == ("classifier",)


def test_a_checkpoint_of_several_files_is_read_by_its_index(tmp_path):
    TINY["bert"]().save_pretrained(tmp_path, max_shard_size="20KB")
    assert not (tmp_path / WEIGHTS).exists()
    assert "bert.pooler.dense.weight" in (checkpoint_keys(str(tmp_path)) or ())
    assert sketch_model(str(tmp_path), TaskHead.of_labels(2)).head == ("classifier",)


def test_a_model_in_the_cache_of_the_hub_is_asked_there(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--acme--bert"
    snapshot = repository / "snapshots" / "abc"
    base_model_alone("bert", snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert "pooler.dense.weight" in (checkpoint_keys("acme/bert") or ())
    shutil.move(snapshot / WEIGHTS, snapshot / "part.safetensors")
    index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": "part.safetensors"}}
    (snapshot / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert set(checkpoint_keys("acme/bert") or ()) == {"embeddings.word_embeddings.weight"}


class _Files(BaseHTTPRequestHandler):
    """The files of one repository on a hub, whole or without their bodies."""

    folder: Path
    sent: list[str]

    def do_GET(self) -> None:
        path = self.folder / self.path.rpartition("/")[2]
        data = path.read_bytes() if path.is_file() else b""
        self.send_response(200 if path.is_file() else 404)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{path.name}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.sent.append(f"{path.name} {self.headers.get('range')}")
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on loopback that serves the files of one folder."""
    handler = type("Bound", (_Files,), {"folder": tmp_path / "hub", "sent": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield handler
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_for_the_header_alone(hub):
    base_model_alone("bert", hub.folder)
    assert "pooler.dense.weight" in (checkpoint_keys("acme/bert") or ())
    assert [line for line in hub.sent if "safetensors" in line] == [f"{WEIGHTS} bytes=0-100000"]


def test_the_hub_is_asked_for_the_index_of_several_files(hub):
    TINY["bert"]().save_pretrained(hub.folder, max_shard_size="20KB")
    assert "bert.pooler.dense.weight" in (checkpoint_keys("acme/bert") or ())
    assert not any(line.startswith("model-0") for line in hub.sent)


def test_a_model_that_the_hub_cannot_tell_of_is_told_of(caplog):
    assert checkpoint_keys("no/such-model") is None
    assert "Cannot read which tensors the checkpoint of 'no/such-model' holds" in caplog.text


def test_a_damaged_checkpoint_is_told_of(tmp_path, caplog):
    save_tiny("bert", tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"damaged")
    assert checkpoint_keys(str(tmp_path)) is None
    assert "Cannot read" in caplog.text
