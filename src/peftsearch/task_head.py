"""What a task asks of a model: transformers' class with its head, and that head's outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# Names of tasks as peft has them.
SEQUENCE, TOKENS, SPANS = "SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"
TEXT_TO_TEXT, CAUSAL_LM = "SEQ_2_SEQ_LM", "CAUSAL_LM"
# One class a picture, for which peft has no name.
PICTURE = "IMAGE_CLS"
# Problem type of several labels a text, as transformers has it.
SEVERAL = "multi_label_classification"


class Medium(StrEnum):
    """What a model reads: texts through a tokenizer, or pictures through an image processor."""

    TEXTS = "texts"
    PICTURES = "pictures"


@dataclass(frozen=True)
class TaskHead:
    """The head that a task needs.

    Args:
        task_type: as peft names the task: "SEQ_CLS" for classes, labels or a number a text, "TOKEN_CLS" for one class
            a token, "QUESTION_ANS" for a span of a context, "SEQ_2_SEQ_LM" for text to text and "CAUSAL_LM" for the
            next token, which have no head of their own: the layer that makes tokens of states is the model's, and
            stays as it is; "IMAGE_CLS" for one class a picture, which peft has no name for.
        num_labels: outputs of the head; None without one.
        problem_type: of the model's configuration; None leaves the choice to the model.
        labels: names of the classes, for the configuration (id2label); empty for those of transformers.
    """

    task_type: str
    num_labels: int | None = None
    problem_type: str | None = None
    labels: tuple[str, ...] = ()

    @property
    def medium(self) -> Medium:
        """What the model reads."""
        return Medium.PICTURES if self.task_type == PICTURE else Medium.TEXTS

    @property
    def peft_task(self) -> str | None:
        """The task for peft's configuration, as `wrapped_as` says; None where peft has no name for it."""
        return None if self.task_type == PICTURE else wrapped_as(self.task_type)

    @classmethod
    def of_labels(
        cls, num_labels: int | None, problem_type: str | None = None, labels: Sequence[str] = ()
    ) -> "TaskHead":
        """The head with one class or number a text; for no labels, that of text to text."""
        task_type = TEXT_TO_TEXT if num_labels is None else SEQUENCE
        return cls(task_type, num_labels, problem_type, tuple(labels))


def wrapped_as(task_type: str | None) -> str | None:
    """The task type by which peft wraps a model: its own, but none for spans.

    peft's wrapper for question answering (0.19 at least) drops `token_type_ids`, by which encoders tell the question
    from its context, so that merged weights would read their inputs otherwise; its plain wrapper hands all on.

    Args:
        task_type: as peft names the task; None where it has no name.
    """
    return None if task_type == SPANS else task_type
