"""Llama and the decoders that share its names."""

from peftsearch.models.family import Family, Stack, register_family
from peftsearch.space import Role

register_family(
    Family(
        name="llama",
        description="Llama, SmolLM, Mistral, Qwen2, Qwen3",
        model_types=("llama", "mistral", "qwen2", "qwen3", "smollm3"),
        stacks=(
            Stack(
                name="decoder",
                layers="layers.{layer}",
                roles={
                    Role.QUERY: "self_attn.q_proj",
                    Role.KEY: "self_attn.k_proj",
                    Role.VALUE: "self_attn.v_proj",
                    Role.ATTENTION_OUTPUT: "self_attn.o_proj",
                    Role.ATTENTION_NORM: "input_layernorm",
                    Role.FFN_GATE: "mlp.gate_proj",
                    Role.FFN_IN: "mlp.up_proj",
                    Role.FFN_OUT: "mlp.down_proj",
                    Role.FFN_NORM: "post_attention_layernorm",
                },
                once={Role.FINAL_NORM: "norm"},
            ),
        ),
    )
)
