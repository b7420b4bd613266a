"""From the examples of the user's tables to a task: its splits, and its metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

from peftsearch.errors import DataError
from peftsearch.tasks.drawn_splits import draw_splits
from peftsearch.tasks.format_entry import AUTO
from peftsearch.tasks.metric_choice import choose_metrics
from peftsearch.tasks.splits import Splits, limit_train, warn_of_shared_groups
from peftsearch.tasks.tables import Table
from peftsearch.tasks.task import TRAIN, Example, Goal, Task, TaskRequest
from peftsearch.tasks.user_tables import source_of


@dataclass(frozen=True)
class TaskKind:
    """What a task predicts.

    Args:
        goal: of the task.
        labels: names of the classes, tags or labels; empty for other goals.
        max_length: tokens kept of an example.
    """

    goal: Goal
    labels: tuple[str, ...]
    max_length: int


def refuse_goal(request: TaskRequest, task_format: str, does: str) -> None:
    """Refuse a goal of labels for a format that has one of its own.

    Args:
        request: with the goal that the user asks for.
        task_format: its name.
        does: what it does, such as "predicts tags".

    Raises:
        DataError: if there is one.
    """
    if request.goal != AUTO:
        raise DataError(f"goal is '{request.goal}', but the task format {task_format} {does}. Leave --goal out.")


def split_examples(
    parts: Sequence[list[Example]], strata: Sequence[object], request: TaskRequest, *, by: str = "class"
) -> Splits:
    """Draw the splits that the files leave open, and keep as many training examples as the request asks for.

    Args:
        parts: the examples of each table.
        strata: as for `draw_splits`.
        request: its group, seed and number of training examples.
        by: as for `draw_splits`.
    """
    splits = draw_splits(parts, strata, group=request.group, seed=request.seed, by=by)
    train = limit_train(splits.rows[TRAIN], max_samples=request.max_train_samples, seed=request.seed)
    return Splits({**splits.rows, TRAIN: train}, splits.rule)


def task_of(name: str, tables: Sequence[Table], request: TaskRequest, *, kind: TaskKind, splits: Splits) -> Task:
    """Make a task of checked splits, and warn of groups on two sides.

    Args:
        name: of the data.
        tables: that the examples were read from.
        request: its metric, group and seed.
        kind: what is predicted.
        splits: of `split_examples`.

    Raises:
        DataError: for a metric that does not fit.
    """
    rows = splits.rows
    if request.group:
        warn_of_shared_groups(rows, column=request.group, source=name)
    metrics = choose_metrics(request.metric, goal=kind.goal, labels=kind.labels, rows=rows, source=name)
    return Task(
        name=name,
        goal=kind.goal,
        labels=kind.labels,
        selection_metric=metrics[0],
        reported_metric=metrics[0],
        splits={split: tuple(examples) for split, examples in rows.items()},
        split_rule=splits.rule,
        max_length=kind.max_length,
        source=source_of(name, tables),
        other_metrics=metrics[1:],
        seed=request.seed,
    )
