"""Every export loads without our tuner and computes the same, or is refused with its reasons."""

import copy
import json
import re

import pytest
import torch
from export_cases import disturb, source_on, tiny_source
from peft import AdaLoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from peftsearch.errors import ExportError, UnknownNameError
from peftsearch.exports.adapterhub.layout import LAYOUTS
from peftsearch.exports.equality import outputs
from peftsearch.exports.source import Source
from peftsearch.exports.writing import check_target, write_export
from peftsearch.kinds import KINDS, LoraUpdate
from peftsearch.models.discover import find_sites
from peftsearch.space import Choice, Configuration
from peftsearch.testing.tiny_models import TINY

# Sums in another order; the outputs are of order 1.
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
FAMILIES = ["bert", "t5", "llama", "gpt2"]


def differs_from_base(source: Source, found: torch.Tensor) -> bool:
    return bool((found - outputs(source.load_base())).abs().max() > 1e-2)


@pytest.mark.parametrize(
    "family,kinds",
    [
        *((family, ("lora",)) for family in FAMILIES),
        *((family, ("lora", "lnfit")) for family in FAMILIES),
        *((family, ("lora", "bitfit", "lnfit")) for family in ("bert", "gpt2")),
        ("llama", ("lnfit",)),
        ("bert", ("bitfit",)),
        ("bert", ()),
    ],
)
def test_lora_loads_in_plain_peft_with_the_same_outputs(family, kinds, tmp_path):
    source = tiny_source(family, *kinds)
    expected = outputs(source.model)
    write_export(source, "lora", tmp_path / "lora")
    plain = PeftModel.from_pretrained(source.load_base(), str(tmp_path / "lora"))
    assert plain.peft_config["default"].peft_type == "LORA"
    assert not [name for name, _ in plain.named_parameters() if "peftsearch" in name]
    torch.testing.assert_close(outputs(plain), expected, **TOLERANCE)
    assert differs_from_base(source, expected)


def test_a_bias_without_a_base_bias_is_a_lora_bias(tmp_path):
    base = TINY["t5"]()
    source = source_on(
        base, Configuration.of([Choice("decoder.1.cross_value", "bitfit"), Choice("encoder.0.query", "lora", 2)])
    )
    expected = outputs(source.model)
    write_export(source, "lora", tmp_path / "lora")
    plain = PeftModel.from_pretrained(source.load_base(), str(tmp_path / "lora"))
    torch.testing.assert_close(outputs(plain), expected, **TOLERANCE)
    assert differs_from_base(source, expected)


def test_transformers_loads_the_lora_export_by_itself(tmp_path):
    source = tiny_source("llama", "lora")
    expected = outputs(source.model)
    write_export(source, "lora", tmp_path / "lora")
    base = source.load_base()
    base.load_adapter(str(tmp_path / "lora"))
    torch.testing.assert_close(outputs(base), expected, **TOLERANCE)


def test_adalora_becomes_lora_of_its_ranks(tmp_path):
    base = TINY["bert"]()
    fresh = copy.deepcopy(base)
    config = AdaLoraConfig(target_modules=["query", "value"], init_r=4, target_r=2, total_step=10, lora_alpha=4)
    model = get_peft_model(base, config)
    disturb(model)
    source = Source("tiny", model, load_base=lambda: copy.deepcopy(fresh), load_tokenizer=lambda: None)
    expected = outputs(model)
    write_export(source, "lora", tmp_path / "lora")
    plain = PeftModel.from_pretrained(copy.deepcopy(fresh), str(tmp_path / "lora"))
    assert plain.peft_config["default"].peft_type == "LORA"
    torch.testing.assert_close(outputs(plain), expected, **TOLERANCE)


def test_the_same_adapter_writes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_export(tiny_source("bert", "lora", "lnfit"), "lora", tmp_path / name)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    "kind,reason",
    [
        ("serial_adapter", "non-linear bottleneck"),
        ("parallel_adapter", "non-linear bottleneck"),
        ("low_rank_adapter", "non-linear bottleneck"),
        ("prefix", "no place in a layer's weight"),
        ("ia3", "rank of the whole layer"),
    ],
)
def test_lora_is_refused_with_the_sites_that_prevent_it(kind, reason, tmp_path):
    source = tiny_source("bert", "lora", kind)
    sites = [path for path, layer in source.layers() if kind in layer.modules_of("default")]
    with pytest.raises(ExportError, match=f"plain LoRA adapter: .*{kind} \\(.*{reason}.*{re.escape(sites[0])}"):
        write_export(source, "lora", tmp_path / "lora")
    assert not any(tmp_path.iterdir())


def test_a_bias_on_a_norm_that_has_none_is_refused(tmp_path):
    with pytest.raises(ExportError, match="bitfit .the base layer has no bias.*layer_norm"):
        write_export(tiny_source("t5", "bitfit"), "lora", tmp_path / "lora")


def test_a_kind_that_says_it_is_lora_is_exported(monkeypatch, tmp_path):
    def as_lora(module, layer):
        scale = torch.diag(module.scale.detach())
        if module.scales_input:
            return LoraUpdate(scale, layer.weight.detach())
        return LoraUpdate(layer.weight.detach(), scale, layer.bias.detach() * module.scale.detach())

    monkeypatch.setattr(KINDS["ia3"], "as_lora", as_lora)
    source = tiny_source("bert", "ia3")
    assert write_export(source, "lora", tmp_path / "lora").difference is not None
    assert differs_from_base(source, outputs(PeftModel.from_pretrained(source.load_base(), tmp_path / "lora")))


@pytest.mark.parametrize("family", FAMILIES)
def test_servable_has_one_rank_no_patterns_and_the_same_outputs(family, tmp_path):
    source = tiny_source(family, "lora")
    expected = outputs(source.model)
    write_export(source, "servable", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["rank_pattern"], config["alpha_pattern"]) == (3, 3, {}, {})
    assert not config["lora_bias"] and not config["use_rslora"]
    tensors = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {tensor.shape[0] for name, tensor in tensors.items() if "lora_A" in name} == {3}
    plain = PeftModel.from_pretrained(source.load_base(), str(tmp_path / "out"))
    torch.testing.assert_close(outputs(plain), expected, **TOLERANCE)


@pytest.mark.parametrize(
    "kinds,reason",
    [
        (("lora", "lnfit"), "a changed norm"),
        (("lora", "serial_adapter"), "serial_adapter"),
        (("lora", "bitfit"), "bitfit"),
        ((), "holds no LoRA"),
    ],
)
def test_servable_is_refused_for_anything_but_lora(kinds, reason, tmp_path):
    with pytest.raises(ExportError, match=f"servable LoRA adapter.*{reason}"):
        write_export(tiny_source("bert", *kinds), "servable", tmp_path / "out")


@pytest.mark.parametrize(
    "family,kinds",
    [
        ("bert", ("lora", "bitfit", "lnfit", "ia3")),
        ("t5", ("lora", "ia3")),
        ("gpt2", ("lora",)),
        # Task heads that are blocks of layers, without a weight of their own.
        ("roberta", ("lora",)),
        ("deberta-v2", ("lora", "bitfit")),
    ],
)
def test_merged_is_a_plain_checkpoint_with_the_same_outputs(family, kinds, tmp_path):
    source = tiny_source(family, *kinds)
    model_class, expected = type(source.base), outputs(source.model)
    write_export(source, "merged", tmp_path / "merged")
    torch.testing.assert_close(outputs(model_class.from_pretrained(tmp_path / "merged")), expected, **TOLERANCE)


def test_merging_is_refused_with_a_reason_for_each_site(tmp_path):
    with pytest.raises(ExportError, match=r"bitfit \(.*no bias.*SelfAttention.*serial_adapter \(a non-linear"):
        write_export(tiny_source("t5", "bitfit", "serial_adapter"), "merged", tmp_path / "merged")


def test_adapterhub_files_hold_folded_bottlenecks_and_padded_lora(tmp_path):
    base = TINY["bert"]()
    chosen = [
        ("encoder.1.ffn_out", "low_rank_adapter", 2),
        ("encoder.0.query", "lora", 3),
        ("encoder.1.value", "lora", 1),
    ]
    source = source_on(base, Configuration.of(Choice(*choice) for choice in chosen))
    ours = source.base.bert.encoder.layer[1].output.dense.modules_of("default")["low_rank_adapter"]
    write_export(source, "adapters", tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "adapter.safetensors")
    host = "bert.encoder.layer.1.output.adapters.peftsearch"
    torch.testing.assert_close(tensors[f"{host}.adapter_down.0.weight"], ours.down_out @ ours.down_in)
    assert tensors["bert.encoder.layer.1.attention.self.value.loras.peftsearch.lora_A"].shape == (3, 32)
    document = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    lora, bottleneck = document["config"]["configs"]
    assert (lora["r"], lora["alpha"], lora["attn_matrices"], lora["leave_out"]) == (3, 3, ["q", "v"], [])
    assert bottleneck["leave_out"] == [0] and int(32 // bottleneck["reduction_factor"]) == 1  # 32 // 32 wide
    head = load_file(tmp_path / "out" / "model_head.safetensors")
    assert head["heads.peftsearch.4.weight"].shape == (2, 32)


@pytest.mark.parametrize(
    "family,kinds,reason",
    [
        ("bert", ("lora", "bitfit"), "bitfit .the library has no such module"),
        ("bert", ("ia3",), "ia3 .the library has no such module"),
        ("bert", ("prefix",), "prefix .the library has no such module"),
        ("bert", ("serial_adapter", "low_rank_adapter", "parallel_adapter"), "one bottleneck"),
        ("llama", ("parallel_adapter",), "before the norm"),
        ("gpt2", ("lora",), "models of the types bert, roberta, t5, llama"),
        ("bert", (), "holds no LoRA and no bottleneck"),
    ],
)
def test_adapterhub_is_refused_for_what_it_cannot_hold(family, kinds, reason, tmp_path):
    with pytest.raises(ExportError, match=reason):
        write_export(tiny_source(family, *kinds), "adapters", tmp_path / "out")


def test_every_layout_is_of_a_model_that_we_find_sites_in():
    assert all(find_sites(TINY[family]()) for family in LAYOUTS)


def test_an_export_that_computes_something_else_is_not_left_behind(tmp_path):
    source = tiny_source("bert", "lora")
    other = tiny_source("bert", "lora", "bitfit").load_base()
    other.bert.embeddings.word_embeddings.weight.data.mul_(3)
    broken = Source("tiny", source.model, load_base=lambda: other, load_tokenizer=lambda: None)
    with pytest.raises(ExportError, match="computes other outputs than the adapter .largest difference"):
        write_export(broken, "lora", tmp_path / "lora")
    assert not any(tmp_path.iterdir())


def test_a_taken_folder_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="--overwrite"):
        check_target(tmp_path, overwrite=False)
    with pytest.raises(ExportError, match="does not hold an export"):
        check_target(tmp_path, overwrite=True)
    write_export(tiny_source("bert", "lora"), "lora", tmp_path / "lora")
    check_target(tmp_path / "lora", overwrite=True)
    write_export(tiny_source("bert", "lora"), "servable", tmp_path / "lora")
    assert json.loads((tmp_path / "lora" / "export.json").read_text())["format"] == "servable"


def test_an_unknown_format_names_the_known_ones(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'lora'"):
        write_export(tiny_source("bert", "lora"), "lorra", tmp_path / "out")
