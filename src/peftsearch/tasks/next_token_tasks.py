"""What the task formats of language models share: tasks without labels, and what does not fit them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from peftsearch.errors import DataError, ModelError
from peftsearch.tasks.cells import read_text
from peftsearch.tasks.format_entry import FormatRequest
from peftsearch.tasks.made_task import TaskKind, split_examples, task_of
from peftsearch.tasks.splits import check_sizes, warn_of_leaks
from peftsearch.tasks.tables import Row, Table
from peftsearch.tasks.task import Example, Goal, Task, TaskRequest

# TRL's own limit.
MAX_LENGTH = 1024
# Columns of prompts and completions, unless the user names others.
PROMPT, COMPLETION = "prompt", "completion"
# What the formats of language models do, in words.
DOES = "predicts the next token"


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
    splits = split_examples(parts, [""] * len(parts[-1]), request, by="")
    check_sizes(splits.rows, source=name)
    warn_of_leaks(splits.rows, source=name)
    return task_of(name, tables, request, kind=TaskKind(goal, (), MAX_LENGTH), splits=splits)


def _grouped(example: Example, row: Row, group: str | None) -> Example:
    return replace(example, group=read_text(row, group, where=example.where)) if group else example


def refuse_misfits(request: FormatRequest, task_format: str) -> None:
    """Refuse a model or settings that do not fit a language model's task.

    Raises:
        DataError: for an encoder-decoder, or a setting of another format.
        ModelError: for a tokenizer without an end token.
    """
    name = request.task.name
    if request.is_encoder_decoder:
        raise DataError(
            f"{name} is read in the task format {task_format}, whose models predict the next token of a text, but the "
            "model is an encoder-decoder. Take a decoder, such as Llama, Qwen or GPT-2."
        )
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
            "The tokenizer has no end-of-sequence token, with which a model says that a text is at its end. Take a "
            "decoder, or set eos_token in its tokenizer_config.json. If the rows have labels, name their column in "
            "--label."
        )
