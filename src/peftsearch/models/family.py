"""Model families: tables from roles to the names of modules."""

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
        layers: name of a block below the model's root, with "{layer}" for its number: "encoder.layer.{layer}".
        roles: role -> name below the block, or several names, of which a model has one.
        optional: roles that a model of the family may lack in every layer.
        once: role -> name below the root, for norms before the first or after the last block; a model may lack them.
    """

    name: str
    layers: str
    roles: Mapping[Role, Paths]
    optional: frozenset[Role] = frozenset()
    once: Mapping[Role, Paths] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """A group of model types whose modules have the same names.

    Args:
        name: for `peftsearch list families`.
        description: one line.
        model_types: values of `config.model_type` in the family.
        stacks: the stacks of its models, the encoder first.
        attention_is_open: whether prefixes are possible: self-attention calls a function that transformers'
            AttentionInterface can replace, and a fused map computes query, key and value of equal widths.
        position_offsets: model type -> position of a text's first token, for models that do not start at 0 and so
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
    """Register a family under its name.

    Raises:
        ValueError: for a name that is taken.

    Example:
        roles = {
            Role.QUERY: "self_attn.q_proj",
            Role.KEY: "self_attn.k_proj",
            Role.VALUE: "self_attn.v_proj",
            Role.ATTENTION_OUTPUT: "self_attn.out_proj",
            Role.FFN_IN: "fc1",
            Role.FFN_OUT: "fc2",
        }
        stack = Stack(name="decoder", layers="decoder.layers.{layer}", roles=roles)
        register_family(Family(name="opt", description="OPT", model_types=("opt",), stacks=(stack,)))
    """
    return FAMILIES.add(family.name, family)


def family_of(model_type: str | None) -> Family | None:
    """Find the family that lists a model type; None if no family does."""
    return next((FAMILIES[name] for name in FAMILIES if model_type in FAMILIES[name].model_types), None)


def how_to_register(model_type: str) -> str:
    """Show the lines of Python that name the modules of a model type, for the end of an error message.

    Args:
        model_type: value of `config.model_type`.
    """
    return (
        "Name its modules before the search, as it calls them (docs/extend.md, also for the command line):\n"
        "    from peftsearch.families import Family, Role, Stack, register_family\n"
        '    roles = {Role.QUERY: "attention.q", Role.VALUE: "attention.v", Role.ATTENTION_OUTPUT: "attention.o", '
        'Role.FFN_IN: "mlp.up", Role.FFN_OUT: "mlp.down"}\n'
        '    stack = Stack(name="encoder", layers="encoder.layers.{layer}", roles=roles)\n'
        f'    family = Family(name="{model_type}", description="mine", model_types=("{model_type}",), '
        "stacks=(stack,))\n"
        "    register_family(family)"
    )
