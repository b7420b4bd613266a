"""Read from a run folder how it trained a language model, for tools that train it at full scale."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from peftsearch.errors import ExportError
from peftsearch.exports.recorded_training import RecordedData, RecordedTraining, Rows
from peftsearch.report.result_parts import SplitRecord
from peftsearch.report.results import Results
from peftsearch.run.config import RunConfig
from peftsearch.run.folder import read_json
from peftsearch.run.make_config import read_config
from peftsearch.run.origin import read_origin
from peftsearch.tasks.next_token_tasks import COMPLETION, PROMPT
from peftsearch.tasks.reading import TaskReading
from peftsearch.tasks.task import VALIDATION, Goal
from peftsearch.tasks.text_files import TextReading
from peftsearch.tasks.user_tables import data_files, hub_parts


def read_training(run: Path) -> RecordedTraining:
    """Read the data and the settings of a run of a language model.

    Args:
        run: a finished run folder.

    Raises:
        RunFolderError: if it cannot be read.
        ExportError: for a run on a task of ours, which is no file that other tools could read.
    """
    results = Results.from_dict(read_json(run / "results.json")).of_adapter
    config = read_config(run / "config.yaml")
    if results.reading is None or config.data is None:
        raise ExportError(
            f"'{run}' is no run on data of your own, but on '{results.task}', and other tools read files. Give the "
            "rows in a file with --data."
        )
    return RecordedTraining(
        data=_data(run, config, results),
        settings=replace(config.training, learning_rate=results.learning_rate),
        max_length=results.reading.max_length,
        seed=config.seed,
    )


def _data(run: Path, config: RunConfig, results: Results) -> RecordedData:
    reading = results.reading
    assert config.data is not None and reading is not None
    files = [_found(run, file) for file in data_files(config.data)]
    (column, *along), rows = reading.columns, _rows(config, reading)
    pair = (Rows.PAIR, Rows.CHAT_PAIR)
    name, configuration = (files[0], "") if files else hub_parts(config.data)
    return RecordedData(
        train=name,
        validation=_validation(files, results.split),
        is_on_hub=not files,
        rows=rows,
        columns=(column, config.label or COMPLETION) if rows in pair else (column,),
        along=tuple(along),
        reading=TextReading(config.delimiter, config.encoding),
        leaves_out=config.drop_missing,
        configuration=configuration,
    )


def _validation(files: Sequence[str], split: SplitRecord) -> str:
    """The file of the validation split, or its name on the hub; "" if it was drawn."""
    if not files:
        return VALIDATION if len(split.source.get("data", ())) > 1 else ""
    return files[1] if len(files) > 1 else ""


def _rows(config: RunConfig, reading: TaskReading) -> Rows:
    goal = Goal(reading.goal)
    if goal is Goal.CHATS:
        has_completion = bool(config.label) or reading.columns[0] == PROMPT
        return Rows.CHAT_PAIR if has_completion else Rows.CHAT
    return Rows.PAIR if goal is Goal.INSTRUCTIONS else Rows.TEXT


def _found(run: Path, file: str) -> str:
    """The absolute path of a file, which counts from here or from where the run was started."""
    path, origin = Path(file).expanduser(), read_origin(run)
    if not path.exists() and origin is not None:
        path = Path(origin.directory) / path
    return str(path.resolve())
