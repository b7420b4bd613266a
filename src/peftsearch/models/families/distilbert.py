"""DistilBERT."""

from peftsearch.models.family import Family, Stack, register_family
from peftsearch.space import Role

register_family(
    Family(
        name="distilbert",
        description="DistilBERT",
        model_types=("distilbert",),
        stacks=(
            Stack(
                name="encoder",
                layers="transformer.layer.{layer}",
                roles={
                    Role.QUERY: "attention.q_lin",
                    Role.KEY: "attention.k_lin",
                    Role.VALUE: "attention.v_lin",
                    Role.ATTENTION_OUTPUT: "attention.out_lin",
                    Role.ATTENTION_NORM: "sa_layer_norm",
                    Role.FFN_IN: "ffn.lin1",
                    Role.FFN_OUT: "ffn.lin2",
                    Role.FFN_NORM: "output_layer_norm",
                },
                once={Role.EMBEDDING_NORM: "embeddings.LayerNorm"},
            ),
        ),
    )
)
