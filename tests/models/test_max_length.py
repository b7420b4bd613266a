"""How many tokens a model takes."""

from types import SimpleNamespace

import pytest
import torch
from text_families import tiny_config
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    RobertaConfig,
    T5Config,
    XLMRobertaConfig,
)

from peftsearch.models.max_length import max_length_of


@pytest.mark.parametrize(
    "config,limit,tokens",
    [
        (BertConfig(max_position_embeddings=512), 10**30, 512),
        (RobertaConfig(max_position_embeddings=514), 10**30, 512),
        (XLMRobertaConfig(max_position_embeddings=514), 600, 512),
        (CamembertConfig(max_position_embeddings=514), 100, 100),
        (T5Config(), 10**30, 512),
        (T5Config(), 1024, 1024),
    ],
)
def test_the_smaller_limit_of_positions_and_tokenizer_holds(config, limit, tokens):
    assert max_length_of(config, SimpleNamespace(model_max_length=limit)) == tokens


@pytest.mark.parametrize(
    "model_type", ["data2vec-text", "longformer", "roberta-prelayernorm", "xlm-roberta-xl", "bert"]
)
def test_models_without_a_table_take_as_many_tokens_as_their_positions_allow(model_type):
    # 130 positions; in RoBERTa's relatives those up to the padding's (number 0 here) hold no token.
    config = tiny_config(model_type)
    tokens = max_length_of(config, SimpleNamespace(model_max_length=10**30))
    assert tokens == (130 if model_type == "bert" else 129)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    model(input_ids=torch.full((1, tokens), 7))
    if model_type != "longformer":  # It fills a text up to whole windows, beyond its positions.
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, tokens + 1), 7))


def test_a_model_without_a_limit_and_one_with_a_part_for_text_have_theirs():
    assert max_length_of(tiny_config("xlnet"), SimpleNamespace(model_max_length=10**30)) == 512
    assert max_length_of(tiny_config("gemma3"), SimpleNamespace(model_max_length=10**30)) == 130
