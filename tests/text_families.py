"""Tiny random configurations of every text model of transformers, and a table of how peftsearch finds them.

`python tests/text_families.py` writes the table to docs/families.md and the counts to README.md.
"""

from collections.abc import Callable
from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.models.auto import modeling_auto as auto

HEADS = {
    "labels": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "text to text": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "language model": auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "masked language model": auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
}
TEXT_TYPES = sorted(set().union(*HEADS.values()))

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
