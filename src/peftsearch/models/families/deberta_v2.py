"""DeBERTa v2 and v3."""

from peftsearch.models.families.bert import BLOCK
from peftsearch.models.family import Family, Stack, register_family
from peftsearch.space import Role

register_family(
    Family(
        name="deberta_v2",
        description="DeBERTa v2 and v3",
        model_types=("deberta-v2",),
        # The model computes its disentangled attention itself.
        attention_is_open=False,
        stacks=(
            Stack(
                name="encoder",
                layers="encoder.layer.{layer}",
                roles=BLOCK
                | {
                    Role.QUERY: "attention.self.query_proj",
                    Role.KEY: "attention.self.key_proj",
                    Role.VALUE: "attention.self.value_proj",
                },
                once={Role.EMBEDDING_NORM: "embeddings.LayerNorm"},
            ),
        ),
    )
)
