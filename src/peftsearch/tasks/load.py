"""Load a task by name or from the user's data."""

from peftsearch.errors import DataError
from peftsearch.tasks.entry import TASKS, TaskRequest
from peftsearch.tasks.task import Task
from peftsearch.tasks.user_data import load_user_data

__all__ = ["TASKS", "TaskRequest", "load_task"]


def load_task(request: TaskRequest) -> Task:
    """Read and split the data that is asked for.

    Raises:
        UnknownNameError: for an unknown task.
        DataError: for data that is missing or doesn't fit.
    """
    if bool(request.task) == bool(request.data):
        raise DataError(
            f"Exactly one of task and data is needed, but task is {request.task!r} and data is {request.data!r}. "
            f"Give --task with one of {', '.join(TASKS)}, or --data with files or a hub id."
        )
    return TASKS[request.task].load(request) if request.task else load_user_data(request)
