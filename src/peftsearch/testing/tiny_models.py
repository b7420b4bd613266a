"""Tiny random models of every family, and a byte-level tokenizer or an image processor small enough for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    T5Config,
    ViTConfig,
    ViTImageProcessorPil,
)

SPECIAL = ("<pad>", "</s>", "<s>", "<unk>", "<cls>", "<sep>")
VOCABULARY = 300
# Like Qwen's, with what the assistant says marked, and tools ahead.
CHAT_TEMPLATE = (
    "{% if tools %}[{{ tools | tojson }}]\n{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}<s>assistant\n{% generation %}{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}[{{ call.function | tojson }}]{% endfor %}</s>{% endgeneration %}\n"
    "{% else %}<s>{{ message.role }}\n{{ message.content }}</s>\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
WIDTH = 32
_COMMON: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
_BERT: dict[str, Any] = _COMMON | {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
}
_LLAMA: dict[str, Any] = _BERT | {"num_key_value_heads": 2}
_GATED: dict[str, Any] = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
_T5: dict[str, Any] = _COMMON | {
    "d_model": WIDTH,
    "d_ff": 64,
    "d_kv": 8,
    "num_heads": 4,
    "num_layers": 2,
    "decoder_start_token_id": 0,
}

CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "bert": lambda: BertConfig(**_BERT),
    "roberta": lambda: RobertaConfig(**_BERT),
    "electra": lambda: ElectraConfig(**_BERT, embedding_size=WIDTH),
    "deberta-v2": lambda: DebertaV2Config(**_BERT, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "mpnet": lambda: MPNetConfig(**_BERT),
    "distilbert": lambda: DistilBertConfig(**_COMMON, dim=WIDTH, n_layers=2, n_heads=4, hidden_dim=64),
    "t5": lambda: T5Config(**_T5),
    "t5-gated": lambda: T5Config(**_T5, **_GATED),
    "llama": lambda: LlamaConfig(**_LLAMA),
    "mistral": lambda: MistralConfig(**_LLAMA),
    "qwen2": lambda: Qwen2Config(**_LLAMA),
    "qwen3": lambda: Qwen3Config(**_LLAMA, head_dim=8),
    "gpt2": lambda: GPT2Config(**_COMMON, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=130),
    "gpt-neox": lambda: GPTNeoXConfig(**_BERT),
    "bart": lambda: BartConfig(
        **_COMMON,
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=130,
        decoder_start_token_id=1,
        forced_eos_token_id=None,
    ),
}
# Of models that read pictures of 8 x 8 pixels as four patches.
PICTURE_SIZE = 8
PICTURE_CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "vit": lambda: ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=PICTURE_SIZE,
        patch_size=4,
    ),
}


def build(config: PretrainedConfig, **options: Any) -> PreTrainedModel:
    """A model with random weights: text-to-text for encoder-decoders, two labels of texts or pictures otherwise."""
    if config.is_encoder_decoder:
        return AutoModelForSeq2SeqLM.from_config(config, **options)
    reads_pictures = hasattr(config, "image_size")
    loader = AutoModelForImageClassification if reads_pictures else AutoModelForSequenceClassification
    return loader.from_config(config, **options)


# Models that read pictures, which are no part of `TINY`: what reads texts cannot take them.
TINY_PICTURE_MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    name: (lambda make=make: build(make())) for name, make in PICTURE_CONFIGS.items()
}
TINY: dict[str, Callable[[], PreTrainedModel]] = {
    name: (lambda make=make: build(make())) for name, make in CONFIGS.items()
}


DECODERS = ("llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt-neox")
TINY_DECODERS: dict[str, Callable[[], PreTrainedModel]] = {
    name: (lambda make=CONFIGS[name]: AutoModelForCausalLM.from_config(make())) for name in DECODERS
}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, framed by <cls> and <sep>."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>",
        pair="$A <sep> $B </s>",
        special_tokens=[(token, vocabulary[token]) for token in ("</s>", "<sep>")],
    )
    names = ("pad_token", "eos_token", "bos_token", "unk_token", "cls_token", "sep_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=128, **dict(zip(names, SPECIAL, strict=True))
    )


def save_tiny_language_model(family: str, folder: Path, *, is_tied: bool = False) -> Path:
    """Save a tiny causal model with its layer for the next token, and its tokenizer with a chat template.

    Args:
        family: of a decoder.
        folder: to write.
        is_tied: whether the layer for the next token has the weights of the embeddings.
    """
    config = CONFIGS[family]()
    config.tie_word_embeddings = is_tied
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def tiny_image_processor() -> ViTImageProcessorPil:
    """Resizes to 8 x 8 pixels, and makes values from -1 to 1 of them."""
    return ViTImageProcessorPil(size={"height": PICTURE_SIZE, "width": PICTURE_SIZE})


def save_tiny(family: str, folder: Path) -> Path:
    """Save a tiny model with its tokenizer or image processor, to be loaded like any pretrained model.

    It has no task head. The weights are the same in every process, whatever has been drawn before.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = (TINY | TINY_PICTURE_MODELS)[family]()
    plain: Any = model if model.config.is_encoder_decoder else model.base_model
    plain.save_pretrained(folder)
    (tiny_image_processor() if family in TINY_PICTURE_MODELS else tiny_tokenizer()).save_pretrained(folder)
    return folder
