"""`train --configuration RUN --inherit true` goes on from the weights of another run's adapter."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from peftsearch import train
from peftsearch.api.runs import Result
from peftsearch.errors import ConfigurationError, PeftSearchError
from peftsearch.run.dry_run import describe_train
from peftsearch.run.make_config import make_config
from peftsearch.testing.small_runs import small_run

# A step that moves no weight by more than rounding, so that a result is what the training started with.
STILL = {"learning_rate": 1e-12, "num_train_epochs": 1, "per_device_train_batch_size": 8, "max_seq_length": 32}


@pytest.fixture(scope="module")
def first(reviews, tiny_folder, tmp_path_factory) -> Result:
    output = tmp_path_factory.mktemp("first") / "run"
    changes = {"configuration": "lora", "method": {"rank": 2}, "budget": ""}
    return train(**small_run(model=tiny_folder("bert"), reviews=reviews, output=output, **changes))


@pytest.fixture
def again(settings, first):
    """Settings that go on from the first run."""

    def make(**changes) -> dict:
        given = {"configuration": str(first.folder), "inherit": True, "method": {}, "budget": "", "training": STILL}
        return settings(**given | changes)

    return make


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def renamed(given: dict, folder: Path) -> str:
    """The same texts with classes of other names."""
    files = [Path(shutil.copy(path, folder)) for path in given["data"].split(",")]
    for file in files:
        file.write_text(file.read_text().replace(",up", ",good").replace(",down", ",bad"))
    return ",".join(map(str, files))


@pytest.mark.parametrize("folder", ["", "adapter"])
def test_modules_start_with_the_weights_of_a_run_or_an_adapter(folder, again, first):
    result = train(**again(configuration=str(first.folder / folder)))
    before, after = weights(first.folder), weights(result.folder)
    assert before.keys() == after.keys() and result.configuration == first.configuration
    for name in before:
        # A folder of an adapter does not say which classes its head had.
        if "classifier" not in name or not folder:
            torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)
    said = "with the weights of the adapter of '(run|adapter)' and (its|a new) task head"
    assert any(re.search(said, note) for note in result.metrics["notes"])


def test_classes_of_other_names_get_a_new_head(again, first, tmp_path):
    given = again()
    result = train(**given | {"data": renamed(given, tmp_path)})
    before, after = weights(first.folder), weights(result.folder)
    for name in before:
        same = torch.allclose(after[name], before[name], atol=1e-6)
        assert same == ("classifier" not in name), name
    assert any("a new task head, since that run had the classes down, up" in note for note in result.metrics["notes"])


def test_it_learns_on_from_there(again, first):
    result = train(**again(training=STILL | {"learning_rate": 3e-3}))
    moved = [
        name for name, tensor in weights(result.folder).items() if not torch.equal(tensor, weights(first.folder)[name])
    ]
    assert moved


def other_weights(given: dict, folder: Path) -> dict:
    model = Path(shutil.copytree(given["model"], folder / "model"))
    tensors = load_file(model / "model.safetensors")
    tensors["encoder.layer.0.output.dense.bias"][0] += 1
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    return {"model": str(model)}


@pytest.mark.parametrize(
    "change,message",
    [
        (other_weights, "was trained on another model than"),
        (lambda given, folder: {"configuration": str(folder)}, "holds no adapter. Give its folder"),
        (lambda given, folder: {"configuration": None}, "--inherit needs a run"),
        (
            lambda given, folder: {"configuration": str(Path(given["configuration"]) / "configuration.json")},
            "holds no adapter",
        ),
        (lambda given, folder: {"configuration": "lora", "method": {"rank": 2}}, "inherit is True, but must be false"),
    ],
    ids=["another model", "no run", "nothing", "a file", "a manual method"],
)
def test_what_cannot_be_inherited_is_refused_before_the_run(change, message, again, tmp_path):
    given = again()
    given |= change(given, tmp_path)
    for act in (lambda: describe_train(make_config(given)), lambda: train(**given)):
        with pytest.raises(PeftSearchError, match=message):
            act()
    assert not Path(given["output"]).exists()


def test_another_family_and_other_kinds_of_results_are_refused(again, settings, tiny_folder, tmp_path):
    with pytest.raises(ConfigurationError, match="has modules at .* places that .* lacks, such as 'bert.encoder"):
        describe_train(make_config(again(model=tiny_folder("roberta"))))
    for name, message in (
        ("full", "trained the whole model.*--format merged"),
        ("adalora", "peft's type ADALORA"),
    ):
        made = train(**settings(configuration=name, method={}, budget="", training=STILL, output=str(tmp_path / name)))
        with pytest.raises(ConfigurationError, match=message):
            describe_train(make_config(again(configuration=str(made.folder))))
