"""Tiny random configurations of every text model of transformers, and a table of how peftsearch finds them.

`python tests/text_families.py` writes the table to docs/families.md.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.models.auto import modeling_auto as auto

from peftsearch.errors import SiteError
from peftsearch.models.discover import find_sites
from peftsearch.models.head_class import class_for_plan, missing_class_note
from peftsearch.models.left_out import left_out
from peftsearch.space import LINEAR_ROLES, Role

PAGE = Path(__file__).parents[1] / "docs" / "families.md"

TEXT_TYPES = sorted(
    {
        *auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        *auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        *auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        *auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    }
)

# Size -> settings that have it in a tiny model, where a configuration has them.
_SETTINGS = {
    0: "pad_token_id",
    1: "eos_token_id n_group topk_group",
    2: "bos_token_id num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_encoder_layers "
    "num_decoder_layers depth num_key_value_heads num_experts_per_tok moe_k",
    4: "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads num_experts "
    "num_encoder_attention_heads num_decoder_attention_heads num_local_experts n_routed_experts moe_num_experts",
    8: "head_dim d_kv q_lora_rank kv_lora_rank qk_rope_head_dim qk_nope_head_dim v_head_dim",
    16: "moe_intermediate_size shared_expert_intermediate_size expert_ffn_hidden_size",
    32: "hidden_size d_model n_embd dim embedding_size emb_dim d_embed word_embed_proj_dim",
    64: "intermediate_size d_ff ffn_dim d_inner n_inner encoder_ffn_dim decoder_ffn_dim hidden_dim ffn_hidden_size",
    130: "max_position_embeddings n_positions",
    300: "vocab_size",
}
_SIZES = {name: size for size, names in _SETTINGS.items() for name in names.split()}
_PER_LAYER = ("layer_types", "mlp_layer_types", "layers_block_type", "block_types")
_SLIDING_AND_FULL = ["sliding_attention", "full_attention"]
_INDEXER = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 8,
    "indexer_compress_ratio": 2,
}
# Model type -> settings that its tiny configuration needs beside those above.
_OWN: dict[str, dict[str, Any]] = {
    "bamba": {"mamba_n_heads": 4, "mamba_d_head": 16, "attn_layer_indices": [1]},
    "cohere_compass_text": {
        "layer_types": _SLIDING_AND_FULL,
        "rope_parameters": {sort: {"rope_type": "default", "rope_theta": 1e4} for sort in _SLIDING_AND_FULL},
    },
    "dbrx": {"attn_config": {"rope_theta": 10_000.0, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "moe_intermediate_size": 16, "num_experts_per_tok": 2},
    "dots3_note_text": {"num_key_value_heads": 4},
    "emu3": {"vocabulary_map": {"<image>": 3}},
    "esm": {"vocab_size": 300},
    "esmc": {"num_key_value_heads": 4},
    "gemma3n_text": {"num_kv_shared_layers": 0, "vocab_size_per_layer_input": 300},
    "gemma4": {"text_config": {"vocab_size_per_layer_input": 300}},
    "gemma4_text": {"vocab_size_per_layer_input": 300},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "blt": {"encoder_hash_byte_group_vocab": 50},
    "codegen": {"rotary_dim": 4},
    "gptj": {"rotary_dim": 4},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 0},
    "qwen4_exp": {"text_config": _INDEXER},
    "qwen4_exp_text": _INDEXER,
    "layoutlmv3": {"coordinate_size": 4, "shape_size": 8},
    "lilt": {"hidden_size": 96},
    "luke": {"entity_vocab_size": 20},
    "perceiver": {
        "d_latents": 32,
        "num_latents": 8,
        "num_self_attends_per_block": 2,
        "num_self_attention_heads": 4,
        "num_cross_attention_heads": 4,
    },
    "roc_bert": {"pronunciation_vocab_size": 20, "shape_vocab_size": 20},
    "xmod": {"default_language": "en_XX"},
    "granitemoehybrid": {"mamba_n_heads": 4, "mamba_d_head": 16, "layer_types": ["mamba", "attention"]},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "neomme": {"layer_types": _SLIDING_AND_FULL, "head_dim": 16},
    "olmo_hybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "reformer": {"axial_pos_embds": False},
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zaya": {"num_experts_per_tok": 1},
}


def tiny_config(model_type: str) -> PretrainedConfig:
    """A configuration of two layers and a width of 32, made by shrinking what the type's own default has."""
    return _shrunk(CONFIG_MAPPING[model_type], _OWN.get(model_type, {}))


def _shrunk(kind: Callable[..., PretrainedConfig], own: dict[str, Any]) -> PretrainedConfig:
    defaults = vars(kind())
    settings = {
        name: size
        for name, size in _SIZES.items()
        if type(defaults.get(name)) is int or (name == "pad_token_id" and name in defaults)
    }
    settings |= {name: _two_of(value) for name in _PER_LAYER if isinstance(value := defaults.get(name), list)}
    if "kv_lora_rank" in defaults:
        settings["num_key_value_heads"] = settings["num_attention_heads"]
    parts = {
        name: _shrunk(type(part), own.get(name, {}))
        for name, part in defaults.items()
        if isinstance(part, PretrainedConfig)
    }
    return kind(**{**settings, **own, **parts})


def _two_of(sorts: list[str]) -> list[str]:
    """The last two sorts of layers that a model has, or its only one twice."""
    found = list(dict.fromkeys(sorts))
    return (found * 2)[-2:] if len(found) > 1 else found * 2


# Model type -> why it is not made here.
NOT_MADE = {
    "dots3_note": "its parts depend on each other's sizes",
    "gemma3n": "needs the package timm; its text part is `gemma3n_text`",
    "gemma4_assistant": "a drafter of another model",
    "gemma4_unified_assistant": "a drafter of another model",
    "layoutlmv2": "needs the package detectron2",
    "musicgen": "transformers makes its decoder of a part of its configuration only",
    "musicgen_melody": "transformers makes its decoder of a part of its configuration only",
    "nemo_speechlm": "its parts depend on each other's sizes",
}
LABELS, TEXT_TO_TEXT, TRAINER, REFUSED, NOT_TRIED = "labels", "text to text", "Trainer only", "refused", "not tried"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        model_type: value of `config.model_type`.
        status: what the command line takes it for, or one of the other statuses.
        maps: roles of the linear maps that any layer has.
        without: what of it no module can reach, or why there is no site.
    """

    model_type: str
    status: str
    maps: str = ""
    without: str = ""

    def __str__(self) -> str:
        return f"| `{self.model_type}` | {self.status} | {self.maps} | {self.without} |"


def find_row(model_type: str) -> Row:
    """Find the sites of a tiny model on the meta device."""
    if model_type in NOT_MADE:
        return Row(model_type, NOT_TRIED, "", NOT_MADE[model_type])
    config = tiny_config(model_type)
    with torch.device("meta"):
        model = class_for_plan(config).from_config(config)
    try:
        sites = find_sites(model)
    except SiteError as error:
        return Row(model_type, REFUSED, "", str(error).split(". Its linear maps")[0].rstrip("."))
    status = TRAINER if missing_class_note(config) else TEXT_TO_TEXT if config.is_encoder_decoder else LABELS
    roles = [role for role in Role if role in LINEAR_ROLES and any(site.role == role for site in sites)]
    return Row(model_type, status, ", ".join(roles), ", ".join(left_out(model, sites)))


def counts(rows: Iterable[Row]) -> str:
    """Say in a sentence how many model types are supported."""
    found = Counter(row.status for row in rows)
    return (
        f"Of the {found.total()} model types with which transformers {transformers.__version__} reads or writes text, "
        f"{found[LABELS] + found[TEXT_TO_TEXT]} are supported from the command line ({found[LABELS]} with labels, "
        f"{found[TEXT_TO_TEXT]} text to text) and {found[TRAINER]} more in your own Trainer, as transformers has no "
        f"class with a task's head for them; {found[REFUSED]} are refused and {found[NOT_TRIED]} were not tried."
    )


def page(rows: Sequence[Row]) -> str:
    """The whole page on families."""
    return PAGE.read_text(encoding="utf-8").split("<!-- table -->")[0] + (
        f"<!-- table -->\n{counts(rows)}\n\n"
        "| model type | on the command line | roles of linear maps | no module can stand at |\n|---|---|---|---|\n"
        + "".join(f"{row}\n" for row in rows)
    )


if __name__ == "__main__":
    PAGE.write_text(page([find_row(model_type) for model_type in TEXT_TYPES]), encoding="utf-8")
