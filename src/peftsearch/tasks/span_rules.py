"""How answers are looked for in a context: the same in training and in predictions, so a run notes it."""

from dataclasses import dataclass

# As in transformers' examples.
MAX_ANSWER_LENGTH = 30


@dataclass(frozen=True)
class SpanRules:
    """How answers are looked for in a context.

    Args:
        context_overlap: tokens that a window of a long context shares with the one before; 0 for a third of the limit.
        max_answer_length: tokens of the longest answer that is given.
        can_be_unanswered: whether a question may have no answer in its context, as in SQuAD 2.0.
    """

    context_overlap: int = 0
    max_answer_length: int = MAX_ANSWER_LENGTH
    can_be_unanswered: bool = False
