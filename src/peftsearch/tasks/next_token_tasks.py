"""What the task formats of language models share: tasks without labels, and what does not fit them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from peftsearch.errors import DataError, ModelError
from peftsearch.tasks.cells import read_text
from peftsearch.tasks.drawn_splits import draw_splits
from peftsearch.tasks.format_entry import AUTO, FormatRequest
from peftsearch.tasks.metric_choice import choose_metrics
from peftsearch.tasks.splits import check_sizes, limit_train, warn_of_leaks, warn_of_shared_groups
from peftsearch.tasks.tables import Row, Table
from peftsearch.tasks.task import TRAIN, Example, Goal, Task, TaskRequest
from peftsearch.tasks.user_tables import source_of

# TRL's own limit.
MAX_LENGTH = 1024
# Column of what a model writes.
PREDICTION = "prediction"


def make_task(
    name: str, tables: Sequence[Table], request: TaskRequest, *, goal: Goal, read: Callable[[Row, str], Example]
) -> Task:
    """Make a task of tables whose rows have no label.

    Args:
        name: of the data.
        tables: whose cells have been checked for gaps.
        request: its group, metric, number of training examples and seed.
        goal: of the task.
        read: makes an example of a row, which it is given with the row in words; the group is added here.

    Raises:
        DataError: for tables that do not fit a task.
    """
    parts = [
        [_grouped(read(row, where), row, request.group) for row, where in zip(table.rows, table.places(), strict=True)]
        for table in tables
    ]
    splits = draw_splits(parts, [""] * len(parts[-1]), group=request.group, seed=request.seed, by="")
    train = limit_train(splits.rows[TRAIN], max_samples=request.max_train_samples, seed=request.seed)
    rows = {**splits.rows, TRAIN: train}
    check_sizes(rows, source=name)
    warn_of_leaks(rows, source=name)
    if request.group:
        warn_of_shared_groups(rows, column=request.group, source=name)
    metrics = choose_metrics(request.metric, goal=goal, labels=(), rows=rows, source=name)
    return Task(
        name=name,
        goal=goal,
        labels=(),
        selection_metric=metrics[0],
        reported_metric=metrics[0],
        splits={split: tuple(examples) for split, examples in rows.items()},
        split_rule=splits.rule,
        max_length=MAX_LENGTH,
        source=source_of(name, tables),
        other_metrics=metrics[1:],
        seed=request.seed,
    )


def _grouped(example: Example, row: Row, group: str | None) -> Example:
    return replace(example, group=read_text(row, group, where=example.where)) if group else example


def refuse_goal(request: TaskRequest, task_format: str) -> None:
    """Refuse a goal of labels.

    Raises:
        DataError: if there is one.
    """
    if request.goal != AUTO:
        raise DataError(
            f"goal is '{request.goal}', but the task format {task_format} predicts the next token. Leave --goal out."
        )


def refuse_misfits(request: FormatRequest, task_format: str) -> None:
    """Refuse a model or settings that do not fit a language model's task.

    Raises:
        DataError: for an encoder-decoder, class weights, or a setting of another format.
        ModelError: for a tokenizer without an end token.
    """
    name = request.task.name
    if request.is_encoder_decoder:
        raise DataError(
            f"{name} is read in the task format {task_format}, whose models predict the next token of a text, but the "
            "model is an encoder-decoder. Take a decoder, such as Llama, Qwen or GPT-2."
        )
    if request.class_weights:
        raise DataError("training.class_weights is 'balanced', but next tokens have no class weights. Leave it out.")
    if request.written.loss_tokens.packing and request.task.goal is not Goal.LANGUAGE_MODEL:
        raise DataError(
            "training.packing is true, but joins whole texts (--task_format language_model), and the rows of "
            f"{name} are in the task format {task_format}. Leave it out."
        )
    if request.written.loss_tokens.assistant_only and request.task.goal is not Goal.CHATS:
        raise DataError(
            "training.assistant_only is true, but only chats have turns of an assistant, and the rows of "
            f"{name} are in the task format {task_format}. Leave it out."
        )
    if request.tokenizer.eos_token is None:
        raise ModelError(
            "The tokenizer has no end-of-sequence token, with which a model says that a text is at its end. Set "
            "eos_token in its tokenizer_config.json."
        )
