"""Rows of added tokens: which layers have them, what they count, and where peft cannot train them."""

import pytest
from transformers import AutoModelForCausalLM, CanineConfig, CanineForSequenceClassification, PhiConfig

from peftsearch.errors import BudgetError, ModelError
from peftsearch.models.token_rows import TokenRows, find_token_rows
from peftsearch.testing.tiny_models import TINY, TINY_DECODERS, WIDTH, tiny_tokenizer

LAYERS = {
    "bert": ["bert.embeddings.word_embeddings"],
    "t5": ["shared"],
    "bart": ["model.shared"],
    "gpt2": ["transformer.wte"],
    "llama": ["model.embed_tokens", "lm_head"],
}


@pytest.mark.parametrize("family", LAYERS)
def test_rows_are_those_of_the_embeddings_and_of_an_untied_layer_for_the_next_token(family):
    model = (TINY_DECODERS if family in TINY_DECODERS else TINY)[family]()
    tokenizer = tiny_tokenizer()
    rows = find_token_rows(model, tokenizer, ["b", "a", "b"], name=family)
    ids = sorted(tokenizer.convert_tokens_to_ids(["a", "b"]))
    untied = LAYERS[family] if not model.config.tie_word_embeddings else LAYERS[family][:1]
    assert rows.indices == dict.fromkeys(untied, ids)
    assert rows.num_parameters == 2 * WIDTH * len(untied)


def test_no_tokens_have_no_rows():
    assert not TokenRows() and TokenRows().left_of(7) == 7


def test_a_budget_must_leave_something():
    rows = find_token_rows(TINY["bert"](), tiny_tokenizer(), ["a"], name="bert")
    assert rows.left_of(WIDTH + 1) == 1
    with pytest.raises(BudgetError, match=f"budget of {WIDTH} parameters is used up"):
        rows.left_of(WIDTH)


def test_layers_of_which_peft_trains_no_single_rows_are_refused():
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    phi = AutoModelForCausalLM.from_config(PhiConfig(vocab_size=300, **sizes))
    with pytest.raises(ModelError, match="'phi' has a bias at its layer for the next token"):
        find_token_rows(phi, tiny_tokenizer(), ["a"], name="phi")
    canine = CanineForSequenceClassification(CanineConfig(**sizes))
    with pytest.raises(ModelError, match="'canine' has no table of embeddings"):
        find_token_rows(canine, tiny_tokenizer(), ["a"], name="canine")
    with pytest.raises(ModelError, match="names 'zz', which is no token of the tokenizer of 'bert'"):
        find_token_rows(TINY["bert"](), tiny_tokenizer(), ["zz"], name="bert")
