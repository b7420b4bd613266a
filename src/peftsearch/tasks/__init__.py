"""Tasks: data sets with splits, their form for a model, and their metrics.

Import from here to list tasks and to register your own: see the page "Add something" of the documentation.

Example:
    task = load_task(TaskRequest(task="demo"))
    print(task.name, {split: len(examples) for split, examples in task.splits.items()})
"""

from peftsearch.tasks.format_entry import TASK_FORMATS, FormatRequest, TaskFormatEntry, register_task_format
from peftsearch.tasks.load import TASKS, TaskEntry, load_task, register_task
from peftsearch.tasks.splits import Splits, check_splits, limit_train, split_one
from peftsearch.tasks.tables import read_hub, read_table, require_columns
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example, Goal, Task, TaskRequest

__all__ = [
    "TASKS",
    "TASK_FORMATS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Example",
    "FormatRequest",
    "Goal",
    "Splits",
    "Task",
    "TaskEntry",
    "TaskFormatEntry",
    "TaskRequest",
    "check_splits",
    "limit_train",
    "load_task",
    "read_hub",
    "read_table",
    "register_task",
    "register_task_format",
    "require_columns",
    "split_one",
]
