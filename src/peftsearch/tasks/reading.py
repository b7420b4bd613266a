"""How a task's rows become a model's texts, and its outputs answers: all that predictions need besides the model."""

from dataclasses import dataclass

from peftsearch.tasks.span_rules import SpanRules
from peftsearch.tasks.task import NEXT_TOKENS, TEST, TRAIN, VALIDATION, Example, Goal, Task

# Pairs of a field's label and its text.
Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TaskReading:
    """What a finished run notes of its task, so that its data is not needed again.

    Args:
        goal: as in `Goal`, such as "classification".
        fields: labels of the fields of an example, such as "sentence1:"; of tags the one that all words have.
        labels: names of the classes, tags or labels; empty for other goals.
        prefix: first words of the source of a text-to-text model; may be empty.
        max_length: tokens kept of a row.
        numbers: that a text-to-text model of a regression chooses among; empty for others.
        max_new_tokens: tokens of a text that the model writes; 0 for tasks without texts to write.
        label_separator: between several labels in a text; empty where they came otherwise.
        threshold: least probability that gives one of several labels; None for other goals.
        span_rules: how answers are looked for in a context; None for other goals.
        task_format: that reads the rows; empty for the one of the goal.
    """

    goal: str
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    prefix: str
    max_length: int
    numbers: tuple[float, ...] = ()
    max_new_tokens: int = 0
    label_separator: str = ""
    threshold: float | None = None
    span_rules: SpanRules | None = None
    task_format: str = ""

    @classmethod
    def of(cls, task: Task, *, max_length: int, choices: tuple[str, ...], max_new_tokens: int = 0) -> "TaskReading":
        """Note how a task is read.

        Args:
            task: with its training split.
            max_length: tokens kept of a row.
            choices: that the task format compares.
            max_new_tokens: of a text that the model writes.
        """
        first = task.splits[TRAIN][0]
        numbers = tuple(map(float, choices)) if task.goal is Goal.REGRESSION else ()
        labels = tuple(label for label, _ in first.fields)
        fields = labels[:1] if task.goal is Goal.TAGS else labels
        return cls(
            *(task.goal.value, fields, task.labels, task.prefix, max_length, numbers, max_new_tokens),
            label_separator=task.label_separator,
            span_rules=task.span_rules,
            task_format=task.task_format,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the texts stand in: the labels of the fields without their colons."""
        return tuple(label.removesuffix(":") for label in self.fields)

    def to_task(self, name: str) -> Task:
        """A task of this sort without examples to learn from, for a task format.

        Args:
            name: of the task.
        """
        numbers = tuple(Example((), number) for number in self.numbers)
        splits = {TRAIN: numbers, VALIDATION: (), TEST: ()}
        return Task(
            *(name, Goal(self.goal), self.labels, "", "", splits, "none", self.max_length),
            prefix=self.prefix,
            span_rules=self.span_rules,
            task_format=self.task_format,
        )

    def example(self, fields: Fields) -> Example:
        """An example without a label.

        Args:
            fields: as the task format reads them.
        """
        placeholders = {
            Goal.CLASSIFICATION: 0,
            Goal.REGRESSION: 0.0,
            Goal.ANSWER: ("",),
            Goal.TAGS: (0,) * len(fields),
            Goal.TEXT: ("",),
            Goal.LABELS: (),
            Goal.SPANS: (),
            **dict.fromkeys(NEXT_TOKENS, ()),
        }
        return Example(fields, placeholders[Goal(self.goal)])
