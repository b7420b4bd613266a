"""Tiny models with random weights in a cache of the hub, under the names which peft's tests ask for.

Models that are not here are left out of the tests: DeBERTa (the first), in which peftsearch finds no sites, and GPT-J
and Qwen2, which are like others that are here.
"""

from pathlib import Path

import torch
import transformers

_PEFT, _TRL, _HF = "peft-internal-testing", "trl-internal-testing", "hf-internal-testing"
_WIDTHS = {
    "vocab_size": 128,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
_GROUPED = _WIDTHS | {"num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_GPT = {"vocab_size": 128, "n_positions": 64, "n_embd": 32, "n_layer": 3, "n_head": 4}
_GPT |= {"bos_token_id": 1, "eos_token_id": 2}
_T5 = {"vocab_size": 128, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
_BART = {"vocab_size": 128, "max_position_embeddings": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2}
_BART |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
_OPT = {"vocab_size": 128, "max_position_embeddings": 64, "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 3}
_OPT |= {"num_attention_heads": 4, "word_embed_proj_dim": 32}
_GEMMA = _GROUPED | {"head_dim": 8, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"] * 2}
_GEMMA |= {"num_hidden_layers": 4}

# Hub name -> class of the model, class of its configuration, settings.
MODELS = {
    f"{_PEFT}/tiny-random-OPTForCausalLM": ("OPTForCausalLM", "OPTConfig", _OPT),
    f"{_PEFT}/tiny-random-GPT2LMHeadModel": ("GPT2LMHeadModel", "GPT2Config", _GPT),
    f"{_TRL}/tiny-random-LlamaForCausalLM": ("LlamaForCausalLM", "LlamaConfig", _GROUPED),
    f"{_HF}/tiny-random-Gemma3ForCausalLM": ("Gemma3ForCausalLM", "Gemma3TextConfig", _GEMMA),
    f"{_PEFT}/tiny-random-T5ForConditionalGeneration-calibrated": (
        "T5ForConditionalGeneration",
        "T5Config",
        _T5 | {"decoder_start_token_id": 0, "pad_token_id": 0},
    ),
    f"{_PEFT}/tiny-random-BartForConditionalGeneration": ("BartForConditionalGeneration", "BartConfig", _BART),
    f"{_PEFT}/tiny-random-BertModel": ("BertModel", "BertConfig", _WIDTHS),
    f"{_PEFT}/tiny-random-RobertaModel": ("RobertaModel", "RobertaConfig", _WIDTHS),
    f"{_PEFT}/tiny-random-DebertaV2Model": ("DebertaV2Model", "DebertaV2Config", _WIDTHS),
    f"{_PEFT}/tiny-random-BertForSequenceClassification": ("BertForSequenceClassification", "BertConfig", _WIDTHS),
    f"{_PEFT}/tiny-random-RobertaForSequenceClassification": (
        "RobertaForSequenceClassification",
        "RobertaConfig",
        _WIDTHS,
    ),
    f"{_TRL}/tiny-LlamaForSequenceClassification-3.2": ("LlamaForSequenceClassification", "LlamaConfig", _GROUPED),
}


# What a cache calls the state of a repository: a commit.
_COMMIT = "0" * 40


def make_models(cache: Path) -> None:
    """Put every model into a cache, as if it had been downloaded; those that are there already are kept."""
    for name, (model_class, config_class, settings) in MODELS.items():
        repository = cache / f"models--{name.replace('/', '--')}"
        snapshot = repository / "snapshots" / _COMMIT
        if (snapshot / "model.safetensors").exists():
            continue
        torch.manual_seed(0)
        config = getattr(transformers, config_class)(**settings)
        getattr(transformers, model_class)(config).save_pretrained(snapshot)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(_COMMIT)
