"""DeBERTa, whose one map makes queries, keys and values."""

from peftsearch.models.families.bert import encoder
from peftsearch.models.family import Family, register_family
from peftsearch.space import Role

_QUERY_KEY_VALUE = {Role.QUERY_KEY_VALUE: "attention.self.in_proj"}

register_family(
    Family(
        name="deberta",
        description="DeBERTa",
        model_types=("deberta",),
        # The model computes its disentangled attention itself.
        attention_is_open=False,
        stacks=(encoder(other=_QUERY_KEY_VALUE, without=(Role.QUERY, Role.KEY, Role.VALUE)),),
    )
)
