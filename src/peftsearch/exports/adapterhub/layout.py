"""The modules of the `adapters` library (AdapterHub) in models that it supports, with the names in its files.

Names are those of release 1.3.0, which needs transformers 4.57: `adapters/models/*/mixin_*.py` has the places,
`configuration/adapter_config.py` the settings, and `loading.py` the files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from transformers import PretrainedConfig

SELF_ATTENTION, INTERMEDIATE, OUTPUT = "selfattn_lora", "intermediate_lora", "output_lora"
LORA_SWITCHES = (SELF_ATTENTION, INTERMEDIATE, OUTPUT)
AFTER_ATTENTION, AFTER_CROSS, AFTER_FFN = "mh_adapter", "cross_adapter", "output_adapter"
BOTTLENECK_SWITCHES = (AFTER_ATTENTION, AFTER_CROSS, AFTER_FFN)


@dataclass(frozen=True)
class Place:
    """A place where the library can have a module.

    Args:
        pattern: expression for the name of the layer that hosts ours; its group `layer` is the number of the block.
        location: the library's setting that switches the place on.
        host: name of the library's own module, with {match} for the pattern's group `host`; by default the layer's
            name.
        matrix: "q", "k" or "v" for LoRA in attention.
    """

    pattern: str
    location: str
    host: str = ""
    matrix: str = ""


@dataclass(frozen=True)
class ModelLayout:
    """The places for modules in a type of model, and its task head.

    Args:
        model_class: the library's own class, whose task heads are flexible; "" for models without a head.
        loras: places for LoRA.
        bottlenecks: places for bottleneck adapters.
        head: layers of our task head in their order; the last one computes the logits.
        activation: name of the function between the layers of the head.
        normalises_after: whether the model is post-norm, so that the library's parallel adapter and ours read the same
            input.
    """

    model_class: str
    loras: tuple[Place, ...]
    bottlenecks: tuple[Place, ...]
    head: tuple[str, ...] = ()
    activation: str | None = None
    normalises_after: bool = False


@dataclass(frozen=True)
class MatchedPlace:
    """The place in the library that matches a layer of a model.

    Args:
        location: the library's setting.
        layer: number of the block; a decoder's blocks follow those of the encoder.
        host: name of the library's module.
        matrix: "q", "k" or "v" for LoRA in attention.
    """

    location: str
    layer: int
    host: str
    matrix: str = ""


def find_place(places: tuple[Place, ...], path: str, config: PretrainedConfig) -> MatchedPlace | None:
    """Find the place that matches a layer.

    Args:
        places: of the model's layout.
        path: name of the layer.
        config: of the model, with `num_layers` if it has a decoder beside an encoder.

    Returns:
        None where the library has no place.
    """
    for place in places:
        if match := re.fullmatch(place.pattern, path):
            first = config.num_layers if path.startswith("decoder.") else 0
            host = place.host.format(match=match["host"]) if place.host else path
            return MatchedPlace(place.location, first + int(match["layer"]), host, place.matrix)
    return None


def _bert(prefix: str, model_class: str, head: tuple[str, ...]) -> ModelLayout:
    layer = rf"{prefix}\.encoder\.layer\.(?P<layer>\d+)"
    attention = {"query": "q", "key": "k", "value": "v"}
    return ModelLayout(
        model_class,
        loras=(
            *(Place(rf"{layer}\.attention\.self\.{n}", SELF_ATTENTION, matrix=m) for n, m in attention.items()),
            Place(rf"{layer}\.intermediate\.dense", INTERMEDIATE),
            Place(rf"{layer}\.output\.dense", OUTPUT),
        ),
        bottlenecks=(
            Place(rf"(?P<host>{layer}\.attention\.output)\.dense", AFTER_ATTENTION, "{match}"),
            Place(rf"(?P<host>{layer}\.output)\.dense", AFTER_FFN, "{match}"),
        ),
        head=head,
        activation="tanh",
        normalises_after=True,
    )


def _t5() -> ModelLayout:
    block = r"(?:encoder|decoder)\.block\.(?P<layer>\d+)\.layer\.\d"
    attention = {"q": "q", "k": "k", "v": "v"}
    return ModelLayout(
        "",
        loras=(
            *(Place(rf"{block}\.\w+Attention\.{n}", SELF_ATTENTION, matrix=m) for n, m in attention.items()),
            Place(rf"{block}\.DenseReluDense\.(wi|wi_1)", INTERMEDIATE),
            Place(rf"{block}\.DenseReluDense\.wo", OUTPUT),
        ),
        bottlenecks=(
            Place(rf"(?P<host>{block})\.SelfAttention\.o", AFTER_ATTENTION, "{match}"),
            Place(rf"(?P<host>{block})\.EncDecAttention\.o", AFTER_CROSS, "{match}"),
            Place(rf"(?P<host>{block})\.DenseReluDense\.wo", AFTER_FFN, "{match}"),
        ),
    )


def _llama() -> ModelLayout:
    layer = r"model\.layers\.(?P<layer>\d+)"
    attention = {"q_proj": "q", "k_proj": "k", "v_proj": "v"}
    return ModelLayout(
        "LlamaAdapterModel",
        loras=(
            *(Place(rf"{layer}\.self_attn\.{n}", SELF_ATTENTION, matrix=m) for n, m in attention.items()),
            # In the library it is so: the last map is "intermediate" and the first "output".
            Place(rf"{layer}\.mlp\.down_proj", INTERMEDIATE),
            Place(rf"{layer}\.mlp\.up_proj", OUTPUT),
        ),
        bottlenecks=(
            Place(rf"(?P<host>{layer})\.self_attn\.o_proj", AFTER_ATTENTION, "{match}.attention_adapters"),
            Place(rf"(?P<host>{layer})\.mlp\.down_proj", AFTER_FFN, "{match}.output_adapters"),
        ),
        head=("score",),
    )


LAYOUTS: Mapping[str, ModelLayout] = {
    "bert": _bert("bert", "BertAdapterModel", ("bert.pooler.dense", "classifier")),
    "roberta": _bert("roberta", "RobertaAdapterModel", ("classifier.dense", "classifier.out_proj")),
    "t5": _t5(),
    "llama": _llama(),
}
