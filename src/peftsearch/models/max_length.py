"""The longest text that a model takes."""

import math

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from peftsearch.errors import ModelError
from peftsearch.models.family import family_of
from peftsearch.models.head_class import class_for_plan

DEFAULT_MAX_LENGTH = 512
# Tokenizers without a limit report this or more.
_NO_LIMIT = 10**6


def max_length_of(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Find the largest number of tokens that a model takes; 512 if neither tokenizer nor configuration has a limit.

    Raises:
        ModelError: for a tokenizer whose limit is no number above 0.
    """
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 0:  # XLNet, which has no limit, gives -1.
        positions = math.inf
    longest = tokenizer.model_max_length
    if not isinstance(longest, int | float) or not longest > 0:
        raise ModelError(
            f"The tokenizer's model_max_length is {longest!r}, but must be a number of tokens above 0. Correct it in "
            "its tokenizer_config.json."
        )
    limit = min(positions - _offset(config), longest)
    return DEFAULT_MAX_LENGTH if limit >= _NO_LIMIT else int(limit)


def _offset(config: PretrainedConfig) -> int:
    """Find the position of a text's first token, by the family's table or by the embeddings of positions."""
    family = family_of(config.model_type)
    if family is not None:
        return family.position_offsets.get(config.model_type, 0)
    with torch.device("meta"):
        model = class_for_plan(config).from_config(config)
    # Positions start after the padding's where that has one of its own, as in RoBERTa.
    own = (
        module.padding_idx + 1
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None
    )
    return next(own, 0)
