"""DeBERTa v2 and v3."""

from peftsearch.models.families.bert import encoder
from peftsearch.models.family import Family, register_family
from peftsearch.space import Role

register_family(
    Family(
        name="deberta_v2",
        description="DeBERTa v2 and v3",
        model_types=("deberta-v2",),
        # The model computes its disentangled attention itself.
        attention_is_open=False,
        stacks=(
            encoder(
                other={
                    Role.QUERY: "attention.self.query_proj",
                    Role.KEY: "attention.self.key_proj",
                    Role.VALUE: "attention.self.value_proj",
                }
            ),
        ),
    )
)
