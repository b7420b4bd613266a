"""Runs on bases in fewer bits, quantised by bitsandbytes on the CPU."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

from peftsearch import evaluate, export, load, train
from peftsearch.api.runs import Result
from peftsearch.errors import ConfigurationError, ExportError
from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.peft_module import is_plain
from peftsearch.run.dry_run import describe_search, describe_train
from peftsearch.run.experiment import Experiment
from peftsearch.run.make_config import make_config
from peftsearch.settings import SettingError

bitsandbytes = pytest.importorskip("bitsandbytes")

IDS = torch.tensor([[70, 80, 90, 100]])
LORA = {"configuration": "lora", "method": {"rank": 2}, "budget": ""}
TRAINING = {"learning_rate": 3e-3, "num_train_epochs": 2, "per_device_train_batch_size": 8, "max_seq_length": 32}
TRAINING |= {"head_start": "fresh"}


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits


def quantised_settings(settings, **changes) -> dict:
    bits = changes.pop("bits", 4)
    return settings(**{"training": TRAINING | {f"load_in_{bits}bit": True}} | changes)


def in_four_bits(folder: str) -> AutoModelForSequenceClassification:
    """The model as a user of transformers and peft alone loads it."""
    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=["classifier"],
    )
    return AutoModelForSequenceClassification.from_pretrained(folder, quantization_config=how, dtype=torch.float32)


def copy_tokenizer(source: str, target: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(source, name), target / name)


@pytest.fixture(scope="module")
def trained(reviews, tiny_folder, tmp_path_factory) -> Result:
    """LoRA on a BERT in 4 bits."""
    data = {"data": reviews, "text": "review", "label": "stars", "verify": False}
    training = TRAINING | {"load_in_4bit": True, "gradient_checkpointing": True}
    output = str(tmp_path_factory.mktemp("4bit") / "run")
    return train(model=tiny_folder("bert"), output=output, **data, **LORA, training=training)


def test_a_run_in_four_bits_trains_modules_beside_packed_weights_and_a_head_in_float(trained):
    model = load(trained.folder)
    layers = [layer.get_base_layer() for layer in model.modules() if isinstance(layer, AdaptedLayer)]
    assert layers and all(isinstance(layer, bitsandbytes.nn.Linear4bit) for layer in layers)
    head = [p for name, p in model.named_parameters() if "classifier" in name]
    assert head and all(p.dtype == torch.float32 for p in head)
    assert evaluate(trained.folder)["accuracy"] == pytest.approx(trained.metrics["test"]["value"])


def test_it_learns_the_same_as_on_the_unpacked_weights_in_float(trained, settings, tiny_folder, tmp_path):
    folder = tmp_path / "unpacked"
    in_four_bits(tiny_folder("bert")).dequantize().save_pretrained(folder)
    copy_tokenizer(tiny_folder("bert"), folder)
    in_float = train(**settings(**LORA, training=TRAINING) | {"model": str(folder)})
    expected, found = (load_file(run.folder / "adapter" / "adapter_model.safetensors") for run in (in_float, trained))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        # Adam's first steps have the gradient's sign, which rounding may turn where a gradient is next to nothing.
        assert (tensor - found[name]).abs().mean() < 1e-4 < tensor.abs().mean()


def test_its_adapter_loads_in_plain_peft_on_the_quantised_and_on_the_float_base(trained, tiny_folder):
    folder = tiny_folder("bert")
    quantised = PeftModel.from_pretrained(in_four_bits(folder), str(trained.folder / "lora"))
    torch.testing.assert_close(logits(quantised), logits(load(trained.folder)), atol=1e-5, rtol=1e-5)
    base = AutoModelForSequenceClassification.from_pretrained(folder)
    for name in ("adapter", "lora"):
        found = PeftModel.from_pretrained(base, str(trained.folder / name), adapter_name=name)
    assert torch.isfinite(logits(found)).all()


def test_it_merges_into_the_base_in_full_and_says_so(trained, tiny_folder, tmp_path):
    found = export(trained.folder, format="merged", output=tmp_path / "merged")
    assert "model in full precision" in found.notes[0]
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert not hasattr(merged.config, "quantization_config")
    base = AutoModelForSequenceClassification.from_pretrained(tiny_folder("bert"))
    expected = PeftModel.from_pretrained(base, str(trained.folder / "lora"))
    torch.testing.assert_close(logits(merged), logits(expected), atol=1e-5, rtol=1e-5)


def test_a_budget_is_the_same_share_of_a_quantised_model(settings):
    whole, packed = (Experiment.open(make_config(s)) for s in (settings(budget="1%"), quantised_settings(settings)))
    assert packed.load_model(0).backbone_parameters == packed.backbone_parameters == whole.backbone_parameters
    assert packed.sites == whole.sites and packed.space.costs == whole.space.costs


def test_a_dry_run_names_the_quantisation(settings):
    text = describe_search(make_config(quantised_settings(settings, bits=8)))
    assert "note      The weights of 12 of 17 sites are quantised (bitsandbytes, 8 bit); budgets count them" in text


def test_a_json_file_names_any_quantisation_and_moves_into_the_runs_settings(settings, tmp_path):
    file, wanted = tmp_path / "fp4.json", {"quant_method": "bitsandbytes", "load_in_4bit": True}
    file.write_text(json.dumps(wanted | {"bnb_4bit_quant_type": "fp4"}))
    config = make_config(settings(quantization=str(file)))
    file.unlink()
    again = make_config(settings(quantization=config.quantization))
    assert again.loading.quantization == wanted | {"bnb_4bit_quant_type": "fp4"}
    layer = Experiment.open(again).load_model(0).model.bert.encoder.layer[0].output.dense
    assert layer.weight.quant_state.quant_type == "fp4"


def test_a_base_that_is_quantised_on_disk_trains_and_refuses_to_be_merged(settings, tiny_folder, tmp_path):
    folder = tmp_path / "packed"
    in_four_bits(tiny_folder("bert")).save_pretrained(folder)
    copy_tokenizer(tiny_folder("bert"), folder)
    own = settings(**LORA) | {"model": str(folder)}
    assert "not mergeable" in describe_train(make_config(own))
    result = train(**own)
    assert not is_plain(load(result.folder).bert.encoder.layer[0].output.dense.get_base_layer())
    with pytest.raises(ExportError, match="weight is quantised"):
        export(result.folder, format="merged", output=tmp_path / "merged")
    with pytest.raises(SettingError, match="quantised on disk already"):
        describe_train(make_config(own | {"training": {"load_in_8bit": True}, "output": str(tmp_path / "other")}))


def test_what_cannot_be_is_refused_before_a_run(settings):
    with pytest.raises(ConfigurationError, match="'full' trains every weight"):
        describe_train(make_config(quantised_settings(settings, configuration="full", method={}, budget="")))
    with pytest.raises(SettingError, match="load_in_8bit is True, but must be left out with load_in_4bit"):
        make_config(settings(training={"load_in_4bit": True, "load_in_8bit": True}))
    with pytest.raises(SettingError, match="left out with load_in_4bit"):
        make_config(quantised_settings(settings, quantization='{"quant_method": "bitsandbytes"}'))
    with pytest.raises(SettingError, match="quant_method"):
        make_config(settings(quantization="{}"))
    with pytest.raises(SettingError, match="cannot be quantised as asked \\(gptqqq\\)"):
        describe_search(make_config(settings(quantization='{"quant_method": "gptqqq"}')))
