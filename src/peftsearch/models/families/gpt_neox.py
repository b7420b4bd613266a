"""GPT-NeoX and Pythia."""

from peftsearch.models.family import Family, Stack, register_family
from peftsearch.space import Role

register_family(
    Family(
        name="gpt_neox",
        description="GPT-NeoX, Pythia",
        model_types=("gpt_neox",),
        stacks=(
            Stack(
                name="decoder",
                layers="layers.{layer}",
                roles={
                    Role.QUERY_KEY_VALUE: "attention.query_key_value",
                    Role.ATTENTION_OUTPUT: "attention.dense",
                    Role.ATTENTION_NORM: "input_layernorm",
                    Role.FFN_IN: "mlp.dense_h_to_4h",
                    Role.FFN_OUT: "mlp.dense_4h_to_h",
                    Role.FFN_NORM: "post_attention_layernorm",
                },
                once={Role.FINAL_NORM: "final_layer_norm"},
            ),
        ),
    )
)
