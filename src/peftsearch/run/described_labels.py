"""The labels of a task in words, so that a column that was misread is seen before a run starts."""

from collections.abc import Callable, Mapping

from peftsearch.tasks.splits import shorten
from peftsearch.tasks.target_scale import AS_GIVEN
from peftsearch.tasks.task import NEXT_TOKENS, Goal, Task
from peftsearch.tasks.task_format import TaskFormat


def describe_labels(task: Task, task_format: TaskFormat) -> str:
    """Say which classes there are, or between which the numbers are, and so on for every goal."""
    return _DESCRIBED[task.goal](task, task_format)


def _names(what: str) -> Callable[[Task, TaskFormat], str]:
    return lambda task, task_format: f"{len(task.labels)} {what}: {shorten(task.labels)}"


def _numbers(task: Task, task_format: TaskFormat) -> str:
    scale = task_format.scale
    numbers = [example.number for split in task.splits.values() for example in split]
    unit = "" if scale == AS_GIVEN else f", trained as deviations of {scale.deviation:g} from {scale.mean:g}"
    return f"numbers from {min(numbers):g} to {max(numbers):g}{unit}"


def _texts(task: Task, task_format: TaskFormat) -> str:
    words = [len(example.text.split()) for split in task.splits.values() for example in split]
    return f"texts of {min(words):,} to {max(words):,} words, written with up to {task_format.max_new_tokens} tokens"


_DESCRIBED: Mapping[Goal, Callable[[Task, TaskFormat], str]] = {
    Goal.CLASSIFICATION: _names("classes"),
    Goal.REGRESSION: _numbers,
    Goal.ANSWER: lambda task, task_format: "free answers",
    Goal.TAGS: _names("tags"),
    Goal.TEXT: _texts,
    Goal.LABELS: _names("labels, any number a text"),
    Goal.SPANS: lambda task, task_format: "spans of a context",
    **dict.fromkeys(NEXT_TOKENS, lambda task, task_format: "next tokens"),
}
