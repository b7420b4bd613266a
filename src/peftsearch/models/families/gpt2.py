"""GPT-2, whose linear maps are transformers' Conv1D with one map for query, key and value."""

from peftsearch.models.family import Family, Stack, register_family
from peftsearch.space import Role

register_family(
    Family(
        name="gpt2",
        description="GPT-2",
        model_types=("gpt2",),
        stacks=(
            Stack(
                name="decoder",
                layers="h.{layer}",
                roles={
                    Role.QUERY_KEY_VALUE: "attn.c_attn",
                    Role.ATTENTION_OUTPUT: "attn.c_proj",
                    Role.ATTENTION_NORM: "ln_1",
                    Role.FFN_IN: "mlp.c_fc",
                    Role.FFN_OUT: "mlp.c_proj",
                    Role.FFN_NORM: "ln_2",
                },
                once={Role.FINAL_NORM: "ln_f"},
            ),
        ),
    )
)
