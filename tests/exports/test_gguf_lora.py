"""What llama.cpp's convert_lora_to_gguf.py needs of a servable adapter: names that GGUF has, one rank, one alpha.

The converter takes pairs of lora_A and lora_B alone, looks up the name of each layer in gguf's own map, and notes
`lora_alpha`; llama.cpp then adds `lora_alpha / rank` times B A to the layer, with the rank of each B.
"""

import json
import re

import gguf
import pytest
import torch
from export_cases import tiny_source
from safetensors.torch import load_file
from trained_models import language_source

from peftsearch.exports.writing import write_export
from peftsearch.testing.tiny_models import save_tiny_language_model

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
}
PAIR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


@pytest.mark.parametrize(
    "family,is_tied", [("llama", False), ("llama", True), ("mistral", False), ("qwen2", True), ("qwen3", False)]
)
def test_every_tensor_has_a_name_in_gguf_and_adds_what_merging_adds(family, is_tied, tmp_path):
    folder = save_tiny_language_model(family, tmp_path / "model", is_tied=is_tied)
    for form in ("servable", "merged"):
        write_export(language_source(folder, ("lora",), None), form, tmp_path / form)
    config = json.loads((tmp_path / "servable" / "adapter_config.json").read_text())
    settings = ("rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias", "use_dora", "use_rslora")
    assert not any(config[name] for name in settings) and config["bias"] == "none"

    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in load_file(tmp_path / "servable" / "adapter_model.safetensors").items():
        found = PAIR.fullmatch(name)
        assert found, name
        pairs.setdefault(f"{found[1]}.weight", {})[found[2]] = tensor
    known = gguf.get_tensor_name_map(ARCHITECTURES[family], 2)
    assert pairs and all(known.get_name(name, try_suffixes=(".weight",)) for name in pairs)

    base, merged = (load_file(place / "model.safetensors") for place in (folder, tmp_path / "merged"))
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert changed == set(pairs)
    for name, pair in pairs.items():
        rank = pair["B"].shape[1]
        assert rank == pair["A"].shape[0] == config["r"]
        added = config["lora_alpha"] / rank * pair["B"] @ pair["A"]
        torch.testing.assert_close(base[name] + added, merged[name])


def test_what_llama_cpp_cannot_take_is_noted(tmp_path):
    notes = write_export(tiny_source("gpt2", "lora"), "servable", tmp_path / "out").notes
    assert any("llama.cpp's converter turns the updates of GPT-2's layers" in note for note in notes)
    assert any("vLLM and llama.cpp's converter refuse" in note for note in notes)
    notes = write_export(tiny_source("llama", "lora"), "servable", tmp_path / "other").notes
    assert not any("GPT-2" in note for note in notes)
