"""Tasks from the user's own files, or from a data set on the Hugging Face hub."""

import logging

from peftsearch.errors import DataError
from peftsearch.names import split_names
from peftsearch.tasks.format_entry import check_settings, choose_format
from peftsearch.tasks.task import Task, TaskRequest
from peftsearch.tasks.text_files import TextReading
from peftsearch.tasks.user_tables import read_tables

logger = logging.getLogger(__name__)


def load_user_data(request: TaskRequest) -> Task:
    """Read and split the user's data, in the task format that is asked for or recognised, and say in which.

    Args:
        request: its `data`, columns, number of training examples and seed.

    Raises:
        DataError: for data that is missing, unreadable or does not fit a task, and for settings of other formats.
    """
    name, tables = read_tables(
        str(request.data), TextReading(request.delimiter, request.encoding), task_format=request.task_format
    )
    _refuse_shared_columns(request)
    entry, reason = choose_format(tables, request)
    logger.info(reason)
    check_settings(entry, request)
    return entry.load(name, tables, request)


def _refuse_shared_columns(request: TaskRequest) -> None:
    """Refuse columns that are both read and predicted."""
    shared = [name for name in split_names(request.text or "") if name in split_names(request.label or "label")]
    if shared:
        raise DataError(
            f"--text names the column '{shared[0]}', which is the label: a model that reads its label learns nothing "
            "else. Leave it out of --text, or name another --label."
        )
