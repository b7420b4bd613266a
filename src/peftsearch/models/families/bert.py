"""BERT and its many relatives: post-norm encoders."""

from peftsearch.models.family import Family, Stack, register_family
from peftsearch.space import Role

BLOCK = {
    Role.QUERY: "attention.self.query",
    Role.KEY: "attention.self.key",
    Role.VALUE: "attention.self.value",
    Role.ATTENTION_OUTPUT: "attention.output.dense",
    Role.ATTENTION_NORM: "attention.output.LayerNorm",
    Role.FFN_IN: "intermediate.dense",
    Role.FFN_OUT: "output.dense",
    Role.FFN_NORM: "output.LayerNorm",
}

register_family(
    Family(
        name="bert",
        description="BERT, RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA",
        model_types=("bert", "roberta", "xlm-roberta", "camembert", "electra"),
        stacks=(
            Stack(
                name="encoder",
                layers="encoder.layer.{layer}",
                roles=BLOCK,
                once={Role.EMBEDDING_NORM: "embeddings.LayerNorm"},
            ),
        ),
        # Positions start after the padding's.
        position_offsets={"roberta": 2, "xlm-roberta": 2, "camembert": 2},
    )
)
