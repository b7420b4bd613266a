"""Data sets as examples with splits, their text forms and their metrics; to list tasks and to register your own.

Example:
    register_task(TaskEntry("mail/spam", "is a mail spam? (F1)", load_spam))
"""

from peftsearch.tasks.load import TASKS, TaskEntry, load_task, register_task
from peftsearch.tasks.splits import Splits, check_splits, limit_train, split_one
from peftsearch.tasks.tables import read_hub, read_table, require_columns
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example, Goal, Task, TaskRequest

__all__ = [
    "TASKS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Example",
    "Goal",
    "Splits",
    "Task",
    "TaskEntry",
    "TaskRequest",
    "check_splits",
    "limit_train",
    "load_task",
    "read_hub",
    "read_table",
    "register_task",
    "require_columns",
    "split_one",
]
