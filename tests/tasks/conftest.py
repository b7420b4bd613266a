"""A character tokenizer and small random models, whose outputs can be followed by hand."""

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

_SPECIAL = ["<pad>", "</s>", "<unk>", "<cls>", "<sep>"]
_CHARACTERS = ["\n"] + [chr(code) for code in range(32, 127)]


def _tokenizer(single: str, pair: str | None, *, separates: bool) -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate(_SPECIAL + _CHARACTERS)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    inner.decoder = decoders.Fuse()
    special = [(token, vocabulary[token]) for token in ("</s>", "<cls>", "<sep>")]
    inner.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    if separates:
        inputs = ["input_ids", "token_type_ids", "attention_mask"]
        names |= {"cls_token": "<cls>", "sep_token": "<sep>", "model_input_names": inputs}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=512, **names)


@pytest.fixture(scope="session")
def encoder_tokenizer() -> PreTrainedTokenizerFast:
    """A character tokenizer that marks pairs as BERT's does."""
    return _tokenizer("<cls> $A <sep>", "<cls> $A <sep> $B:1 <sep>:1", separates=True)


@pytest.fixture(scope="session")
def plain_tokenizer() -> PreTrainedTokenizerFast:
    """A character tokenizer that marks no pairs, as those of decoders; it ends texts as T5's does."""
    return _tokenizer("$A </s>", None, separates=False)


@pytest.fixture(scope="session")
def decoder_tokenizer() -> PreTrainedTokenizerFast:
    """A character tokenizer that just puts a pair one after the other, as GPT-2's does."""
    return _tokenizer("$A", "$A $B", separates=False)


@pytest.fixture(scope="session")
def tiny_t5() -> T5ForConditionalGeneration:
    """A random T5 whose outputs differ clearly between labels."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=104, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0, initializer_factor=2.0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval()


@pytest.fixture(scope="session")
def tiny_bert():
    """Return a maker of random BERT classifiers."""

    def make(num_labels: int, problem_type: str) -> BertForSequenceClassification:
        config = BertConfig(
            vocab_size=104, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
            num_labels=num_labels, problem_type=problem_type, pad_token_id=0,
        )  # fmt: skip
        return BertForSequenceClassification(config).eval()

    return make
