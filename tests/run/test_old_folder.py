"""A run folder that version 0.1.0 wrote before its code was rearranged: `tests/fixtures/old_run`.

It was made by `peftsearch search --model model --data train.csv,validation.csv,test.csv --text review --label stars
--budget 400,250 --space s3delta_l --verify false` with short settings (see its config.yaml) on a random model.
"""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from peftsearch import evaluate, export, load, search, train
from peftsearch.cli.main import main
from peftsearch.errors import BudgetError, RunFolderError
from peftsearch.settings import read_yaml

OLD = Path(__file__).parents[1] / "fixtures" / "old_run"


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A copy of the folder, where its model and data lie as its settings say."""
    shutil.copytree(OLD, tmp_path / "old_run")
    monkeypatch.chdir(tmp_path / "old_run")
    return Path("run")


def results(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def test_it_loads_with_the_weights_of_its_adapter(run):
    saved = load_file(run / "adapter" / "adapter_model.safetensors")
    state = load(run).state_dict()
    loaded = {name.replace(".modules_to_save", "").replace(".default", ""): state[name] for name in state}
    assert saved and all((loaded[name] == tensor).all() for name, tensor in saved.items())


@pytest.mark.parametrize("split", ["validation", "test"])
def test_it_is_evaluated_to_the_scores_that_it_recorded(run, split):
    assert evaluate(run, split=split) == pytest.approx(results(run)[split]["all"])


def test_its_report_is_written_again(run):
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert results(run)["verdict"].split(".")[0][:40] in page and "uniform LoRA" in page


def test_its_export_holds_the_same_tensors(run, tmp_path):
    export(run, format="lora", output=tmp_path / "lora")
    old, new = (load_file(folder / "adapter_model.safetensors") for folder in (run / "lora", tmp_path / "lora"))
    assert old.keys() == new.keys() and all((old[name] == new[name]).all() for name in old)


def test_it_goes_on_from_its_trainings_to_the_same_results(run):
    before, weights = results(run), (run / "adapter" / "adapter_model.safetensors").read_bytes()
    (run / "results.json").unlink()
    shutil.rmtree(run / "adapter")
    settings = read_yaml(run / "config.yaml") | {"output": str(run), "resume": True, "verify": False}
    # Today this might be one number: the folder's own file is read as it was meant, a user is asked.
    assert settings["budget"] == "400,250"
    with pytest.raises(BudgetError, match="may be one number or several"):
        search(**settings)
    settings["budget"] = "400, 250"
    with pytest.raises(RunFolderError, match="training.head_start: was 'fresh', is 'probe'"):
        search(**settings)
    settings["training"]["head_start"] = "fresh"
    after = search(**settings).metrics
    assert (run / "adapter" / "adapter_model.safetensors").read_bytes() == weights
    # That version trained the smallest step of a ladder alone, and kept the head that a model brings along.
    new = ("ladder/400/", "The model has a task head already")
    after["notes"] = [note for note in after["notes"] if not note.startswith(new)]
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"versions", "command", "ladder", "saved", "baseline"}
    # Nor did it say what a baseline's search for a rate cost.
    assert after["baseline"] == before["baseline"] | {"rate_search": None}
    # Nor did it keep the names of the classes there.
    assert {name: after["saved"][name] for name in before["saved"]} == before["saved"]
    for step, trained in zip(before["ladder"], after["ladder"], strict=True):
        assert trained["test"] and step == {name: trained[name] for name in step}


def test_its_configuration_is_trained_again(run, tmp_path):
    data = read_yaml(run / "config.yaml")
    again = train(
        **{name: data[name] for name in ("model", "data", "text", "label", "training")},
        configuration=str(run),
        verify=False,
        output=str(tmp_path / "again"),
    )
    assert again.configuration.to_json() == (run / "configuration.json").read_text()
    assert again.metrics["parameters"] == results(run)["parameters"]
