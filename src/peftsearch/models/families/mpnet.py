"""MPNet: an encoder like BERT with relative positions, and sentence encoders made of it."""

from peftsearch.models.families.bert import encoder
from peftsearch.models.family import Family, register_family
from peftsearch.space import Role

register_family(
    Family(
        name="mpnet",
        description="MPNet",
        model_types=("mpnet",),
        # The model computes its attention itself.
        attention_is_open=False,
        stacks=(
            encoder(
                other={
                    Role.QUERY: "attention.attn.q",
                    Role.KEY: "attention.attn.k",
                    Role.VALUE: "attention.attn.v",
                    Role.ATTENTION_OUTPUT: "attention.attn.o",
                    Role.ATTENTION_NORM: "attention.LayerNorm",
                }
            ),
        ),
        # Positions start after the padding's.
        position_offsets={"mpnet": 2},
    )
)
