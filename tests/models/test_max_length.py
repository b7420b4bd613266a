"""How many tokens a model takes."""

from types import SimpleNamespace

import pytest
from transformers import BertConfig, CamembertConfig, RobertaConfig, T5Config, XLMRobertaConfig

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
