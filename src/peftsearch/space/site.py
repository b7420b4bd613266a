"""Sites: the places of a transformer where a PEFT module can stand, with the same names in every model family."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """The function of a site in its block; the same word for every model family."""

    QUERY = "query"
    KEY = "key"
    VALUE = "value"
    QUERY_KEY_VALUE = "query_key_value"
    # Latent attention has narrow maps before those of queries and of keys and values.
    QUERY_DOWN = "query_down"
    KEY_VALUE_DOWN = "key_value_down"
    KEY_VALUE = "key_value"
    ATTENTION_OUTPUT = "attention_output"
    # State-space models and short convolutions mix tokens without attention.
    MIXER_IN = "mixer_in"
    MIXER_OUT = "mixer_out"
    CROSS_QUERY = "cross_query"
    CROSS_KEY = "cross_key"
    CROSS_VALUE = "cross_value"
    CROSS_OUTPUT = "cross_output"
    FFN_GATE = "ffn_gate"
    FFN_IN = "ffn_in"
    FFN_OUT = "ffn_out"
    EMBEDDING_NORM = "embedding_norm"
    ATTENTION_NORM = "attention_norm"
    CROSS_NORM = "cross_norm"
    FFN_NORM = "ffn_norm"
    FINAL_NORM = "final_norm"

    @property
    def is_norm(self) -> bool:
        """Whether the site is a normalisation layer; every other site is a linear layer."""
        return self in NORM_ROLES


NORM_ROLES = frozenset({Role.EMBEDDING_NORM, Role.ATTENTION_NORM, Role.CROSS_NORM, Role.FFN_NORM, Role.FINAL_NORM})
CROSS_ROLES = frozenset({Role.CROSS_QUERY, Role.CROSS_KEY, Role.CROSS_VALUE, Role.CROSS_OUTPUT})
LINEAR_ROLES = frozenset(Role) - NORM_ROLES
# Roles that occur once in a stack, before its first or after its last layer.
ONCE_PER_STACK = frozenset({Role.EMBEDDING_NORM, Role.FINAL_NORM})


@dataclass(frozen=True, order=True)
class Site:
    """A layer of a transformer where modules can stand.

    Args:
        stack: "encoder" or "decoder"; "vision" or "audio" for the second encoder of a model that compares media.
        layer: index of the block, from 0 at the bottom; an embedding norm counts as layer 0 and a final norm as
            the number of layers.
        role: its function in the block.
        path: exact name of the module in the model, as in `model.named_modules()`.
        in_width: width of the input, in features.
        out_width: width of the output, in features.
        input_path: for the last linear layer of a feed-forward block, name of the module that reads the block's
            input; "" for other sites, and where input and output of the block differ in width.
        prefix_width: for the layer that computes the values of self-attention, width of the keys; 0 where a prefix
            is impossible.
        has_bias: whether the layer has a bias of its own.
    """

    stack: str
    layer: int
    role: Role
    path: str
    in_width: int
    out_width: int
    input_path: str = ""
    prefix_width: int = 0
    has_bias: bool = True

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "Site":
        """Read a site from a row of `sites.json`.

        Args:
            row: the fields; a "name" is passed over, since the others give it.

        Raises:
            TypeError, ValueError: for other fields, or a role that does not exist.
        """
        known: dict[str, Any] = {key: Role(value) if key == "role" else value for key, value in row.items()}
        known.pop("name", None)
        return cls(**known)

    @property
    def name(self) -> str:
        """Name that is the same in every model family, such as "encoder.3.value" or "decoder.final_norm"."""
        if self.role in ONCE_PER_STACK:
            return f"{self.stack}.{self.role}"
        return f"{self.stack}.{self.layer}.{self.role}"


def prefix_width(role: Role, out_width: int) -> int:
    """Compute `Site.prefix_width` for models whose keys and values have the same width.

    Args:
        role: of the site.
        out_width: width of the site's output, in features.
    """
    if role == Role.VALUE:
        return out_width
    return out_width // 3 if role == Role.QUERY_KEY_VALUE else 0
