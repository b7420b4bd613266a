"""Pushing to a hub on loopback, and what is said before a run starts that could not be pushed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
from fake_hub import TOKEN, serve_hub
from finished_run import write_run
from huggingface_hub import ModelCard

from peftsearch import train
from peftsearch.cli.main import main
from peftsearch.errors import HubError


@pytest.fixture
def hub(monkeypatch):
    """A hub that this process takes for the real one, with a token for it."""
    with serve_hub() as served:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", served.url)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield served


@pytest.fixture
def quick(settings) -> dict:
    """A training of a second."""
    return settings(configuration="bitfit", method={}, budget="", push_to_hub=True, hub_model_id="me/mine")


def push(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["push", *arguments])
    return code, *capsys.readouterr()


def test_a_run_is_on_the_hub_when_it_is_finished(hub, quick):
    result = train(**quick, hub_private_repo=True)
    assert hub.created == [{"name": "mine", "organization": "me", "visibility": "private"}]
    adapter = result.folder / "adapter"
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert hub.files[name] == (adapter / name).read_bytes()
    assert hub.files["results.json"] == (result.folder / "results.json").read_bytes()
    beside = {"results.json", "configuration.json", "report.html", "README.md"}
    plain = {f"lora/{path.name}" for path in (result.folder / "lora").iterdir()}
    assert hub.files.keys() == beside | plain | {path.name for path in adapter.iterdir()}
    assert 'PeftModel.from_pretrained(base, "me/mine", subfolder="lora")' in hub.files["README.md"].decode()
    assert 'PeftModel.from_pretrained(base, "me/mine")' in hub.files["README.md"].decode()
    # The page in the run folder quotes mistakes, the one on the hub does not.
    (mistakes,) = json.loads((result.folder / "errors.json").read_text())["errors"]["quotes"]
    assert mistakes["caption"] in (result.folder / "report.html").read_text()
    assert mistakes["caption"] not in hub.files["report.html"].decode()
    assert "Confusion matrix" in hub.files["report.html"].decode()
    uploaded = b"".join(hub.files.values()).decode(errors="ignore")
    assert mistakes["rows"] and not any(row[-1] in uploaded for row in mistakes["rows"])
    written = [path for path in result.folder.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in path.read_bytes() for path in written), "the token stays out of the run"


def test_a_failed_push_loses_nothing_and_says_how_to_push_later(hub, quick, capsys):
    hub.fails_at = "/api/repos/create"
    with pytest.raises(HubError, match="is finished and complete. Push it with: peftsearch push .* me/mine"):
        train(**quick)
    run = quick["output"]
    assert (Path(run) / "results.json").is_file() and (Path(run) / "report.html").is_file() and not hub.files
    hub.fails_at = ""
    code, out, err = push(capsys, run, "--hub_model_id", "me/mine")
    assert (code, out.strip(), TOKEN in err) == (0, f"{hub.url}/me/mine", False)
    assert ModelCard(hub.files["README.md"].decode()).data.library_name == "peft"


def refused_before_it_starts(quick: dict, message: str) -> None:
    with pytest.raises(HubError, match=message) as caught:
        train(**quick)
    assert TOKEN not in str(caught.value) and not Path(quick["output"]).exists()


def test_a_token_is_needed(hub, quick, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    refused_before_it_starts(quick, "no token.*hf auth login")


def test_a_wrong_token_is_found_before_the_run(hub, quick, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    refused_before_it_starts(quick, "does not accept the token")


def test_a_token_that_can_only_read_is_found_before_the_run(hub, quick):
    hub.role = "read"
    refused_before_it_starts(quick, "can only read")


def test_a_repository_of_others_is_found_before_the_run(hub, quick):
    refused_before_it_starts(quick | {"hub_model_id": "you/mine"}, "belongs to 'me'. Allowed owners: me, lab")


def test_a_name_that_cannot_be_is_found_before_the_run(hub, quick):
    refused_before_it_starts(quick | {"hub_model_id": "me/my adapter"}, "no name of a repository")


def test_a_hub_that_does_not_answer_is_found_before_the_run(hub, quick, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    refused_before_it_starts(quick, "cannot be reached")


def test_offline_mode_is_named(hub, quick, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused_before_it_starts(quick, "HF_HUB_OFFLINE")


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["train", "--model", "demo", "--push_to_hub"], "hub_model_id is None, but must be given with push_to_hub"),
        (["train", "--model", "demo", "--hub_token", TOKEN], "set HF_TOKEN"),
        (["push", "nowhere", "--hub_model_id", "me/mine", f"--hub_token={TOKEN}"], "set HF_TOKEN"),
        (["push", "nowhere", "--hub_model_id", "me/mine"], "is not a run folder"),
        (["push", "nowhere"], "--hub_model_id"),
    ],
)
def test_what_is_wrong_is_said_without_the_token(capsys, arguments, message):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err and TOKEN not in err


@pytest.mark.slow
def test_the_command_reads_the_address_and_the_token_from_the_environment(tmp_path):
    run = write_run(tmp_path / "run")
    with serve_hub() as hub:
        environment = os.environ | {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
        environment |= {"HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "HF_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-m", "peftsearch.cli.main", "push", str(run), "--hub_model_id", "lab/mine"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert hub.created[0]["organization"] == "lab" and hub.files["adapter_model.safetensors"] == b"weights"
    assert done.stdout.strip().endswith("/lab/mine") and TOKEN not in done.stdout + done.stderr
