"""T5 and its gated successors: pre-norm encoder-decoders with RMS norms and no biases."""

from peftsearch.models.family import Family, Stack, register_family
from peftsearch.space import Role


def _attention(position: int) -> dict[Role, str]:
    return {
        Role.QUERY: f"layer.{position}.SelfAttention.q",
        Role.KEY: f"layer.{position}.SelfAttention.k",
        Role.VALUE: f"layer.{position}.SelfAttention.v",
        Role.ATTENTION_OUTPUT: f"layer.{position}.SelfAttention.o",
        Role.ATTENTION_NORM: f"layer.{position}.layer_norm",
    }


def _feed_forward(position: int) -> dict[Role, str | tuple[str, ...]]:
    block = f"layer.{position}.DenseReluDense"
    return {
        Role.FFN_GATE: f"{block}.wi_0",
        Role.FFN_IN: (f"{block}.wi", f"{block}.wi_1"),
        Role.FFN_OUT: f"{block}.wo",
        Role.FFN_NORM: f"layer.{position}.layer_norm",
    }


_CROSS = {
    Role.CROSS_QUERY: "layer.1.EncDecAttention.q",
    Role.CROSS_KEY: "layer.1.EncDecAttention.k",
    Role.CROSS_VALUE: "layer.1.EncDecAttention.v",
    Role.CROSS_OUTPUT: "layer.1.EncDecAttention.o",
    Role.CROSS_NORM: "layer.1.layer_norm",
}
_GATED = frozenset({Role.FFN_GATE})

register_family(
    Family(
        name="t5",
        description="T5 v1.0, gated T5 v1.1, Flan-T5, mT5",
        model_types=("t5", "mt5"),
        stacks=(
            Stack(
                name="encoder",
                layers="encoder.block.{layer}",
                roles=_attention(0) | _feed_forward(1),
                optional=_GATED,
                once={Role.FINAL_NORM: "encoder.final_layer_norm"},
            ),
            Stack(
                name="decoder",
                layers="decoder.block.{layer}",
                roles=_attention(0) | _CROSS | _feed_forward(2),
                optional=_GATED,
                once={Role.FINAL_NORM: "decoder.final_layer_norm"},
            ),
        ),
    )
)
