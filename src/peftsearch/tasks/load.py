"""The registry of tasks, and a function that loads one by its name or from the user's data."""

from collections.abc import Callable
from dataclasses import dataclass

from peftsearch.errors import DataError
from peftsearch.registry import Registry
from peftsearch.tasks.splits import limit_evaluation
from peftsearch.tasks.task import Task, TaskRequest
from peftsearch.tasks.user_data import load_user_data


@dataclass(frozen=True)
class TaskEntry:
    """A registered task.

    Args:
        name: for `--task`, such as "glue/rte".
        description: one line for `peftsearch list tasks`.
        load: reads the data and makes the splits.
    """

    name: str
    description: str
    load: Callable[[TaskRequest], Task]


# Settings of a request that say how the user's own data is read.
_OF_DATA = (
    *("task_format", "label_separator", "context_overlap", "max_answer_length"),
    *("goal", "group", "drop_missing", "delimiter", "encoding"),
)

TASKS: Registry[TaskEntry] = Registry("task", package="peftsearch.tasks.builtin", group="peftsearch.tasks")


def register_task(entry: TaskEntry) -> TaskEntry:
    """Register a task under its name.

    Raises:
        ValueError: for a name that is taken.

    Example:
        def load_spam(request):
            return load_task(TaskRequest(data="mail.csv", seed=request.seed))

        register_task(TaskEntry("mail/spam", "is a mail spam? (accuracy)", load_spam))
    """
    return TASKS.add(entry.name, entry)


def load_task(request: TaskRequest) -> Task:
    """Read and split the data of a registered task, or of the user's files or hub data set.

    Args:
        request: exactly one of its `task` and `data` is given.

    Raises:
        UnknownNameError: for a task that is not registered.
        DataError: for data that is missing or does not fit, and for settings of `data` beside a task.

    Example:
        task = load_task(TaskRequest(task="demo"))
    """
    if bool(request.task) == bool(request.data):
        raise DataError(
            f"Exactly one of task and data is needed, but task is {request.task!r} and data is {request.data!r}. "
            f"Give --task with one of {', '.join(TASKS)}, or --data with files or a hub id."
        )
    if request.task:
        _refuse_data_settings(request)
        _refuse_metric(request)
    task = TASKS[request.task].load(request) if request.task else load_user_data(request)
    return limit_evaluation(task, max_samples=request.max_eval_samples, seed=request.seed)


def _refuse_metric(request: TaskRequest) -> None:
    """Refuse another metric than a registered task's own.

    Raises:
        DataError: if there is one.
    """
    if request.metric:
        raise DataError(
            f"The task '{request.task}' has metrics of its own, which its published results are given in, but metric "
            f"is '{request.metric}'. Leave --metric out, or give your own files with --data."
        )


def _refuse_data_settings(request: TaskRequest) -> None:
    """Refuse what a registered task would pass over.

    Raises:
        DataError: naming the first such setting.
    """
    for name in _OF_DATA:
        value = getattr(request, name)
        if value != TaskRequest.__dataclass_fields__[name].default:
            raise DataError(
                f"{name} is {value!r}, but the task '{request.task}' knows how its data is read. Leave --{name} out, "
                "or give your own files with --data."
            )
