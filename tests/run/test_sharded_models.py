"""Two processes that share a model out find what one finds that holds all of it."""

import json
from pathlib import Path

import pytest
import sharded_pair as pair
from safetensors.torch import load_file
from test_several_processes import start, torchrun

from peftsearch import errors, processes
from peftsearch.run.make_config import make_config
from peftsearch.settings import SettingError
from peftsearch.testing.small_runs import small_run, write_review_files
from peftsearch.testing.tiny_models import save_tiny
from peftsearch.training.micro_batches import MicroBatches

# Of weights: sums over halves are rounded in another order, and AdamW's first steps make more of small gradients.
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The runs of one process and of two, in every case: a minute of both cores."""
    folder = tmp_path_factory.mktemp("shared")
    pair.prepare(folder)
    started = torchrun(Path(pair.__file__), folder)
    output, _ = started.communicate(timeout=900)
    assert started.returncode == 0, output[-5000:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair.language_model, "_MAX_LOGITS", pair.language_model._MAX_LOGITS)
        pair.run(folder)
    pair.run_in_trainer(folder)
    return folder


def check_same_end(whole: Path, shared: Path) -> None:
    assert (whole / "configuration.json").read_text() == (shared / "configuration.json").read_text()
    tensors = [load_file(place / "adapter" / "adapter_model.safetensors") for place in (whole, shared)]
    assert tensors[0].keys() == tensors[1].keys()
    assert max(float((tensors[0][key] - tensors[1][key]).abs().max()) for key in tensors[0]) < TOLERANCE
    results = [json.loads((place / "results.json").read_text()) for place in (whole, shared)]
    for split in ("validation", "test"):
        assert results[1][split]["all"] == pytest.approx(results[0][split]["all"], abs=1e-4)
    assert (whole / "lora").exists() == (shared / "lora").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", pair.CASES)
def test_two_processes_that_share_a_model_out_end_as_one(folder, name):
    check_same_end(folder / f"{name}-of-1", folder / f"{name}-of-2")


@pytest.mark.slow
@pytest.mark.parametrize("method", pair.IN_TRAINER)
def test_fsdp_of_the_launcher_shares_the_model_of_a_trainer_out(folder, method):
    whole, shared = (folder / f"in-trainer-{method}-of-{count}" for count in (1, 2))
    configurations = [(place / "search" / "configuration.json").read_text() for place in (whole, shared)]
    assert configurations[0] == configurations[1]
    tensors = [load_file(place / "adapter" / "adapter_model.safetensors") for place in (whole, shared)]
    assert tensors[0].keys() == tensors[1].keys()
    assert max(float((tensors[0][key] - tensors[1][key]).abs().max()) for key in tensors[0]) < TOLERANCE
    found = [json.loads((place / "found.json").read_text()) for place in (whole, shared)]
    assert found[1]["loss"] == pytest.approx(found[0]["loss"], abs=1e-4)
    assert found[1]["shared_out"] and not found[0]["shared_out"]


@pytest.mark.slow
def test_fsdp_of_accelerate_s_launcher_shares_the_model_out(folder):
    launcher = ["accelerate.commands.launch", "--use_fsdp", "--fsdp_version", "2", "--num_processes", "2"]
    launcher += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    own = ["--output", folder / "launched", "--per_device_train_batch_size", str(pair.BATCH // 2)]
    search = ["-m", "peftsearch", "search", "--config", folder / "bert" / "settings.json", *own]
    output, _ = start("-m", *launcher, *search).communicate(timeout=300)
    assert output.count("The launcher asks for FSDP: the frozen model is shared out") == 1, output[-5000:]
    check_same_end(folder / "bert-of-1", folder / "launched")


@pytest.mark.slow
def test_memory_that_one_has_not_ends_both_in_words_and_one_that_holds_all_goes_on_to_the_same_end(folder):
    started = torchrun(Path(pair.__file__), folder, "short")
    output, _ = started.communicate(timeout=300)
    assert started.returncode != 0 and not (folder / pair.SHORT / "results.json").exists(), output[-5000:]
    assert "peftsearch (process 1): Out of memory with 4 examples a pass in process 1 of 2" in output, output[-5000:]
    assert "The last checkpoint before that is that of step " in output
    # Of torchrun alone.
    assert output.count("Traceback") == 1, output[-5000:]
    given = json.loads((folder / "bert" / "settings.json").read_text())
    training = given["training"] | {"save_steps": 1}
    pair.peftsearch.search(**given | {"training": training, "output": str(folder / pair.SHORT), "resume": True})
    resumed, whole = (folder / name / "configuration.json" for name in (pair.SHORT, "bert-of-1"))
    assert resumed.read_text() == whole.read_text()


@pytest.mark.slow
def test_each_process_holds_half_of_the_blocks(folder):
    held = [json.loads((folder / f"held-by-{index}.json").read_text()) for index in range(2)]
    assert [each["of"] for each in held] == [held[0]["of"]] * 2 and sum(each["held"] for each in held) == held[0]["of"]
    assert all(0.4 < each["held"] / each["of"] < 0.6 for each in held)


def settings(tmp_path: Path, **changes) -> dict:
    data = write_review_files(tmp_path)
    return {**small_run(model=tmp_path, reviews=data, output=tmp_path / "run", shard_model=True), **changes}


@pytest.mark.parametrize("other", [{"model_device_map": "auto"}, {"quantization": '{"quant_method": "bitsandbytes"}'}])
def test_a_model_is_shared_out_or_placed_otherwise(tmp_path, other):
    with pytest.raises(SettingError, match="shard_model is True.*left out"):
        make_config(settings(tmp_path, **other))


def test_what_is_shared_out_is_frozen(tmp_path, monkeypatch):
    monkeypatch.setattr(processes._World, "shards_model", True)
    given = settings(tmp_path, model=str(save_tiny("bert", tmp_path / "model")), configuration="full", method={})
    with pytest.raises(errors.ConfigurationError, match="shares out frozen ones"):
        pair.peftsearch.train(**given | {"budget": ""})


def test_memory_that_runs_out_is_not_tried_again_while_others_wait(monkeypatch):
    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(processes._World, "shards_model", True)
    with pytest.raises(errors.TrainingError, match="2 examples a pass.*share the model out.*--resume") as error:
        MicroBatches().each({"labels": [0, 1]}, fail, undo=lambda: None)
    assert isinstance(error.value.__cause__, MemoryError)


def test_passes_that_one_process_took_alone_are_not_taken_where_others_wait(monkeypatch):
    alone, shared = MicroBatches(), MicroBatches()
    alone.load_state_dict(4)
    monkeypatch.setattr(processes._World, "shards_model", True)
    shared.load_state_dict(4)
    assert (alone.num_micro_batches, shared.num_micro_batches) == (4, 1)


def test_models_are_whole_where_all_of_it_is_needed(monkeypatch):
    monkeypatch.setattr(processes._World, "shards_model", True)
    with processes.whole_models():
        assert not processes.shards_model()
    assert processes.shards_model()
