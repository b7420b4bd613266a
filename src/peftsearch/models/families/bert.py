"""BERT and its many relatives: post-norm encoders."""

from collections.abc import Mapping, Sequence

from peftsearch.models.family import Family, Stack, register_family
from peftsearch.space import Role

_BLOCK = {
    Role.QUERY: "attention.self.query",
    Role.KEY: "attention.self.key",
    Role.VALUE: "attention.self.value",
    Role.ATTENTION_OUTPUT: "attention.output.dense",
    Role.ATTENTION_NORM: "attention.output.LayerNorm",
    Role.FFN_IN: "intermediate.dense",
    Role.FFN_OUT: "output.dense",
    Role.FFN_NORM: "output.LayerNorm",
}


def encoder(*, other: Mapping[Role, str], without: Sequence[Role] = ()) -> Stack:
    """The stack of an encoder with BERT's names.

    Args:
        other: roles whose names in a block are not BERT's.
        without: roles of BERT's that a block lacks.
    """
    roles = {role: name for role, name in {**_BLOCK, **other}.items() if role not in without}
    return Stack(
        name="encoder",
        layers="encoder.layer.{layer}",
        roles=roles,
        once={Role.EMBEDDING_NORM: "embeddings.LayerNorm"},
    )


register_family(
    Family(
        name="bert",
        description="BERT, RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA",
        model_types=("bert", "roberta", "xlm-roberta", "camembert", "electra"),
        stacks=(encoder(other={}),),
        # Positions start after the padding's.
        position_offsets={"roberta": 2, "xlm-roberta": 2, "camembert": 2},
    )
)
