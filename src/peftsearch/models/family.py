"""A model family: a table from roles to the names that its modules have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from peftsearch.registry import Registry
from peftsearch.space import Role

Paths = str | tuple[str, ...]


@dataclass(frozen=True)
class Stack:
    """The blocks of an encoder or a decoder.

    Args:
        name: "encoder" or "decoder".
        layers: name of block N below the model's root, with "{layer}" for N, such as "encoder.layer.{layer}".
        roles: role -> name below the block; several names are alternatives, of which a model has one.
        optional: roles that a model of the family may lack in every layer.
        once: role -> name below the root, for what stands before the first or after the last block; a model may
            lack it.
    """

    name: str
    layers: str
    roles: Mapping[Role, Paths]
    optional: frozenset[Role] = frozenset()
    once: Mapping[Role, Paths] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """A naming tradition.

    Args:
        name: for `peftsearch list families`.
        description: one line.
        model_types: values of `config.model_type` that follow it.
        stacks: its stacks, the encoder first.
        attention_is_open: whether self-attention calls a function that transformers' AttentionInterface lets us
            choose, and a fused map makes query, key and value of equal widths: what prefixes need.
        position_offsets: model type -> position of a text's first token, for models that don't start at 0 and so
            take fewer tokens than `max_position_embeddings` says.
    """

    name: str
    description: str
    model_types: tuple[str, ...]
    stacks: tuple[Stack, ...]
    attention_is_open: bool = True
    position_offsets: Mapping[str, int] = field(default_factory=dict)


FAMILIES: Registry[Family] = Registry("family", package="peftsearch.models.families", group="peftsearch.families")


def register_family(family: Family) -> Family:
    """Make a family known by its name.

    Raises:
        ValueError: for a name that is taken.
    """
    return FAMILIES.add(family.name, family)


def family_of(model_type: str | None) -> Family | None:
    """The family that lists a model type; None if no family does."""
    return next((FAMILIES[name] for name in FAMILIES if model_type in FAMILIES[name].model_types), None)
