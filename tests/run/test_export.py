"""`peftsearch export` on real runs of tiny models, and what it refuses."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
)

from peftsearch import Configuration, attach, export, load, train
from peftsearch.api.runs import Result
from peftsearch.cli.main import main
from peftsearch.errors import ExportError, ModelError, RunFolderError, TrainingError
from peftsearch.models.discover import find_sites
from peftsearch.run.proof import Proof
from peftsearch.run.saved_model import SavedModel
from peftsearch.run.verify import differences, verify
from peftsearch.space import Choice, Role
from peftsearch.testing.tiny_models import CONFIGS, build, tiny_tokenizer

IDS = torch.tensor([[70, 80, 90, 100]])


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits


@pytest.fixture(scope="module")
def trained_once(reviews, tiny_folder, tmp_path_factory) -> Result:
    data = {"data": reviews, "text": "review", "label": "stars"}
    training = {"learning_rate": 3e-3, "num_train_epochs": 2, "per_device_train_batch_size": 8, "max_seq_length": 32}
    made = {"configuration": "lora", "method": {"rank": 2}, "verify": False, "training": training}
    return train(model=tiny_folder("bert"), output=str(tmp_path_factory.mktemp("lora") / "run"), **data, **made)


@pytest.fixture
def lora_run(trained_once, tmp_path) -> Result:
    """A copy that a test may change."""
    return replace(trained_once, folder=Path(shutil.copytree(trained_once.folder, tmp_path / "run")))


def test_a_run_leaves_plain_lora_beside_its_adapter(lora_run):
    base = AutoModelForSequenceClassification.from_pretrained(lora_run.metrics["model"])
    torch.manual_seed(1)
    base.classifier.reset_parameters()  # the trained head must come with the export
    plain = PeftModel.from_pretrained(base, str(lora_run.folder / "lora"))
    assert plain.peft_config["default"].peft_type == "LORA"
    torch.testing.assert_close(logits(plain), logits(lora_run.model), atol=1e-5, rtol=1e-5)
    assert not any("lora/" in note for note in lora_run.metrics["notes"])


def test_a_run_that_is_no_lora_says_why(settings):
    result = train(**settings(configuration="serial_adapter", method={"rank": 2}, budget=""))
    assert not (result.folder / "lora").exists()
    assert "lora/ was not written" in result.metrics["notes"][-1]
    assert "serial_adapter (a non-linear bottleneck" in result.metrics["notes"][-1]


@pytest.mark.parametrize("configuration", ["full", "adalora", "head"])
def test_every_sort_of_result_can_be_merged(configuration, settings, tmp_path):
    result = train(**settings(configuration=configuration, method={}, budget=""))
    assert (result.folder / "lora").is_dir() == (configuration != "full")
    export(result.folder, format="merged", output=tmp_path / "merged")
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(merged), logits(load(result.folder)), atol=1e-5, rtol=1e-5)
    assert merged.config.id2label == load(result.folder).config.id2label == {0: "down", 1: "up"}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert tokenizer("good")["input_ids"] == tiny_tokenizer()("good")["input_ids"]


def test_the_command_writes_each_format_and_says_how_equal_it_is(lora_run, tmp_path, capsys):
    for name in ("lora", "servable", "merged"):
        assert main(["export", str(lora_run.folder), "--format", name, "--output", str(tmp_path / name)]) == 0
        out = capsys.readouterr().out
        assert str(tmp_path / name) in out and "equal within" in out
    # AdapterHub has no LoRA on the attention's output.
    assert main(["export", str(lora_run.folder), "--format", "adapters", "--output", str(tmp_path / "a")]) == 2
    assert "lora (the library has none there)" in capsys.readouterr().err
    assert main(["list", "exports"]) == 0 and "servable" in capsys.readouterr().out


def test_an_adapter_without_its_run_is_exported_too(lora_run, tmp_path):
    adapter = (lora_run.folder / "adapter").rename(tmp_path / "adapter")
    found = export(adapter, format="lora", output=tmp_path / "lora")
    assert found.difference < 1e-5
    assert (
        load_file(tmp_path / "lora" / "adapter_model.safetensors").keys()
        == load_file(lora_run.folder / "lora" / "adapter_model.safetensors").keys()
    )


@pytest.mark.parametrize("model_class", [BertForTokenClassification, BertForQuestionAnswering, BertForMaskedLM])
def test_an_adapter_of_a_task_that_runs_do_not_have_is_exported_too(model_class, tmp_path):
    base = model_class(CONFIGS["bert"]())
    base.save_pretrained(tmp_path / "base")
    base.name_or_path = str(tmp_path / "base")
    sites = {site.role: site for site in find_sites(base) if site.layer == 1}
    model = attach(base, Configuration.of([Choice(sites[Role.QUERY].name, "lora", 2)]))
    torch.nn.init.normal_(next(p for name, p in model.named_parameters() if name.endswith(".B")))
    model.save_pretrained(str(tmp_path / "adapter"))
    found = export(tmp_path / "adapter", format="lora", output=tmp_path / "lora")
    assert found.difference < 1e-5
    plain = PeftModel.from_pretrained(model_class.from_pretrained(tmp_path / "base"), str(tmp_path / "lora"))
    torch.testing.assert_close(plain.eval()(IDS)[0], model.eval()(IDS)[0], atol=1e-5, rtol=1e-5)


def test_a_plain_lora_adapter_is_no_source_of_exports(lora_run, tmp_path):
    with pytest.raises(ExportError, match="peft's own type 'LORA', which peft loads and merges by itself"):
        export(lora_run.folder / "lora", format="servable", output=tmp_path / "out")


def test_what_is_neither_a_run_nor_an_adapter_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="neither a finished run .* nor an adapter"):
        export(tmp_path, format="lora", output=tmp_path / "out")


def test_an_adapter_of_another_model_is_refused_with_the_shapes(lora_run, tmp_path):
    wide = BertConfig(**{**CONFIGS["bert"]().to_dict(), "hidden_size": 48})
    build(wide).save_pretrained(tmp_path / "wide")
    tiny_tokenizer().save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelError, match=r"another model: .* is \(2, 32\) and must be \(2, 48\)"):
        export(lora_run.folder, format="lora", output=tmp_path / "out", model=str(tmp_path / "wide"))
    shallow = BertConfig(**{**CONFIGS["bert"]().to_dict(), "num_hidden_layers": 1})
    build(shallow).save_pretrained(tmp_path / "shallow")
    with pytest.raises(ModelError, match=r"lacks 6 of its sites: bert.encoder.layer.1"):
        export(lora_run.folder / "adapter", format="lora", output=tmp_path / "out", model=str(tmp_path / "shallow"))
    assert not (tmp_path / "out").exists()


def test_an_output_that_exists_is_left_alone_before_anything_is_loaded(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="exists. Replace it with --overwrite"):
        export("nowhere", format="lora", output=tmp_path)


@pytest.mark.slow
def test_a_new_process_measures_what_is_saved_and_any_difference_fails(lora_run):
    metrics = lora_run.metrics
    parameters, accuracy = metrics["parameters"], metrics["validation"]["all"]["accuracy"]
    claimed = Proof(parameters + 1, metrics["validation"]["all"] | {"accuracy": accuracy + 1}, {})
    with pytest.raises(TrainingError, match="is another one in a new process") as raised:
        verify(SavedModel(**metrics["saved"]), lora_run.folder, claimed)
    assert f"(parameters: was {parameters + 1:,}, is {parameters:,}; accuracy: was" in str(raised.value)
    assert f"is {accuracy:,.6g})" in str(raised.value)


def test_the_check_compares_the_count_and_every_metric():
    proof = Proof(100, {"accuracy": 80.0, "macro_f1": 79.5}, {})
    assert differences(proof, parameters=100, validation={"accuracy": 80.0 + 1e-6, "macro_f1": 79.5}) == []
    assert differences(proof, parameters=99, validation={"accuracy": 80.0, "macro_f1": 79.25}) == [
        "parameters: was 100, is 99",
        "macro_f1: was 79.5, is 79.25",
    ]
