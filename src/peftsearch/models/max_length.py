"""The longest text that a model takes."""

import math

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from peftsearch.models.family import family_of

DEFAULT_MAX_LENGTH = 512
# Tokenizers without a limit report this or more.
_NO_LIMIT = 10**6


def max_length_of(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Find the largest number of tokens that a model takes; 512 if neither tokenizer nor configuration has a limit."""
    family = family_of(config.model_type)
    offset = family.position_offsets.get(config.model_type, 0) if family else 0
    positions = (getattr(config, "max_position_embeddings", None) or math.inf) - offset
    limit = min(positions, tokenizer.model_max_length)
    return DEFAULT_MAX_LENGTH if limit >= _NO_LIMIT else int(limit)
