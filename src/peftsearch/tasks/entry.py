"""The registry of built-in tasks, and what a user asks for."""

from collections.abc import Callable
from dataclasses import dataclass

from peftsearch.registry import Registry
from peftsearch.tasks.task import Task


@dataclass(frozen=True)
class TaskRequest:
    """Which data to load: a built-in task or user data.

    Args:
        task: a built-in task such as "glue/rte"; not together with `data`.
        data: "train.csv[,validation.csv[,test.csv]]" (csv, tsv, json, jsonl, parquet) or a Hugging Face hub id.
        text: comma-separated text columns of user data; by default "text".
        label: label column of user data; by default "label".
        data_dir: folder with `NAME/{train,validation}.jsonl` for GLUE and SuperGLUE; without it they are downloaded.
        max_train_samples: training examples kept, chosen by the seed; 0 keeps all.
        seed: of splits and of the choice of training examples.
    """

    task: str | None = None
    data: str | None = None
    text: str | None = None
    label: str | None = None
    data_dir: str | None = None
    max_train_samples: int = 0
    seed: int = 0


@dataclass(frozen=True)
class TaskEntry:
    """A built-in task.

    Args:
        description: one line for `peftsearch list tasks`.
        load: reads the data and makes the splits.
    """

    description: str
    load: Callable[[TaskRequest], Task]


TASKS: Registry[TaskEntry] = Registry("task", package="peftsearch.tasks.builtin", group="peftsearch.tasks")
