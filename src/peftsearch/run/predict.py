"""`peftsearch predict`: the answers of a run's result for rows that need no labels."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from torch import nn
from transformers import PreTrainedTokenizerBase

from peftsearch.errors import DataError, RunFolderError, StorageError
from peftsearch.files import write_bytes
from peftsearch.models.load import Processor, load_config, load_processor
from peftsearch.models.max_length import max_length_of
from peftsearch.names import split_names
from peftsearch.report.document import read_as
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.make_config import read_config
from peftsearch.run.origin import Places
from peftsearch.run.saved_model import SavedModel
from peftsearch.run.target_length import limits_of_answers
from peftsearch.settings import require
from peftsearch.task_head import TEXT_TO_TEXT
from peftsearch.tasks.format_entry import WrittenTexts, format_of, readers_of
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.reading import TaskReading
from peftsearch.tasks.tables import Reader, Row, Table, has_delimiter, has_encoding, open_table, require_columns
from peftsearch.tasks.target_limits import TargetLimits
from peftsearch.tasks.task import Example, Goal
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.tasks.text_files import UTF_8, TextReading, is_utf_8
from peftsearch.tasks.writing import as_csv, columns_of, writer_of
from peftsearch.training.evaluation import predict
from peftsearch.training.progress import open_progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """The answers for some rows, in the order of the rows.

    Args:
        rows: the columns that were read, then "prediction" (a class, a number, a text, or a list of labels) and, for
            classes and labels, "probability_" and the name of each, or "probability" of an answer in a context.
        num_truncated: rows that were longer than the model's limit and were read in part.
    """

    rows: tuple[dict[str, Any], ...]
    num_truncated: int

    def write(self, output: str | Path, *, overwrite: bool = False) -> None:
        """Write the rows to a csv, tsv, jsonl or parquet file, by its suffix.

        Args:
            output: the file.
            overwrite: replace a file that is there.

        Raises:
            DataError: for another suffix, or a text that the format cannot hold.
            StorageError: for a file that is there, or cannot be written.
        """
        write = _writer_to(Path(output), overwrite=overwrite)
        write_bytes(Path(output), write(self.rows))


@dataclass(frozen=True)
class PredictionRequest:
    """What is to be predicted.

    Args:
        run: the run folder.
        data: a csv, tsv, json, jsonl, parquet or conll file, a folder of pictures, or rows; a label column may be
            missing.
        text: comma-separated text columns, one for each that the run was trained on; empty for the same names.
        batch_size: rows of a pass; 0 takes the run's own of evaluation.
        model: the pretrained model, if it is no longer where the run says; else empty.
        max_new_tokens: of a text that the model writes; 0 takes the run's own.
        delimiter: of the file, as in `TextReading`; empty for the run's own where the file has any.
        encoding: of a text file; empty for UTF-8 where it can be read so, else the run's own.
    """

    run: Path
    data: Path | Sequence[Mapping[str, Any]]
    text: str = ""
    batch_size: int = 0
    model: str = ""
    max_new_tokens: int = 0
    delimiter: str = ""
    encoding: str = ""

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_new_tokens"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")


def predict_to(request: PredictionRequest, output: Path | None, *, overwrite: bool = False) -> Predictions:
    """Predict, and write the rows to a file, or as csv to standard output.

    Args:
        request: what is to be predicted.
        output: a csv, tsv, jsonl or parquet file, by its suffix; None for standard output.
        overwrite: replace a file that is there.

    Raises:
        StorageError: for a file that is there, or cannot be written.
        PeftSearchError: as for `run_predict`.
    """
    if output is None:
        found = run_predict(request)
        sys.stdout.buffer.write(as_csv(found.rows))
        sys.stdout.buffer.flush()
        return found
    _writer_to(output, overwrite=overwrite)
    found = run_predict(request)
    found.write(output, overwrite=overwrite)
    return found


def _writer_to(output: Path, *, overwrite: bool) -> Callable[[Sequence[Row]], bytes]:
    """The way to write a file, which must not be there yet unless it may be replaced."""
    if output.exists() and not overwrite:
        raise StorageError(f"'{output}' exists. Replace it with --overwrite, or give another file with --output.")
    return writer_of(output)


def run_predict(request: PredictionRequest) -> Predictions:
    """Answer every row with the result that a run hands over; on a GPU if there is one.

    Raises:
        RunFolderError: if the folder is not a finished run.
        DataError: for rows without the text columns, with a text that is missing, or with columns of our names; for a
            task whose answers are among candidates of each row; for a length of texts that the model does not write.
        ModelError: if the pretrained model cannot be loaded.
    """
    run = request.run
    saved, config = SavedModel.read(run, model=request.model), read_config(run / "config.yaml")
    reading = read_reading(run, model=request.model)
    table = _table_of(request.data, _text_reading(request, config), readers_of(format_of(reading).name))
    examples = _examples(table, reading, text=request.text)
    _check_columns(table, reading)
    is_text = saved.head.task_type == TEXT_TO_TEXT
    if Goal(reading.goal) is Goal.ANSWER and not is_text:
        raise DataError(f"The task of '{run}' chooses among candidates of each row, which a table does not give.")
    processor = load_processor(saved.model, saved.head.medium)
    task_format = make_task_format(
        reading.to_task(table.name),
        tokenizer=processor,
        is_encoder_decoder=is_text,
        max_length=reading.max_length,
        written=WrittenTexts(_limits(request, reading, saved, processor)),
    ).answering()
    model = saved.load(run)[0].to(PartialState().device)
    batch_size = request.batch_size or config.training.per_device_eval_batch_size
    outputs = task_format.of_examples(_outputs(model, task_format, examples, batch_size=batch_size), examples)
    answer = format_of(reading).answer
    answered = [
        {**row, **answer(output, example, reading)}
        for row, output, example in zip(table.rows, outputs, examples, strict=True)
    ]
    return Predictions(tuple(answered), task_format.num_truncated)


def _limits(request: PredictionRequest, reading: TaskReading, saved: SavedModel, processor: Processor) -> TargetLimits:
    is_of_texts = isinstance(processor, PreTrainedTokenizerBase)
    longest = max_length_of(load_config(saved.model), processor) if is_of_texts else 0
    return limits_of_answers(reading.max_new_tokens, request.max_new_tokens, longest)


def read_reading(run: Path, *, model: str = "") -> TaskReading:
    """How the task of a finished run is read: as the run noted it, or by its data where an earlier version did not.

    Args:
        run: the run folder.
        model: the pretrained model, if it is no longer where the run says.

    Raises:
        RunFolderError: if the folder is not a finished run.
    """
    noted = read_json(run / "results.json").get("reading")
    if noted is None:
        return Experiment.open(Places(model).move(run, read_config(run / "config.yaml"))).reading
    try:
        return read_as(TaskReading, noted)
    except ValueError as error:
        raise RunFolderError(f"'{run / 'results.json'}' does not say how its task is read: {error}.") from error


def _text_reading(request: PredictionRequest, config: RunConfig) -> TextReading:
    """How a file is read: as the user says, else as the run's data were, as far as that fits the file."""
    data = request.data
    if not isinstance(data, Path):
        return TextReading()
    delimiter = request.delimiter or (config.delimiter if has_delimiter(data) else "")
    return TextReading(delimiter, request.encoding or _encoding_of(data, config))


def _encoding_of(data: Path, config: RunConfig) -> str:
    if config.encoding == UTF_8 or not has_encoding(data) or not data.is_file():
        return UTF_8
    if not is_utf_8(data):
        return config.encoding
    logger.warning(
        "'%s' is read as UTF-8, since it is that; the run's data were %s. Give --encoding for another one.",
        data,
        config.encoding,
    )
    return UTF_8


def _table_of(data: Path | Sequence[Mapping[str, Any]], files: TextReading, readers: Mapping[str, Reader]) -> Table:
    if isinstance(data, Path):
        return open_table(data, files, readers)
    if not len(data):
        raise DataError("There are no rows to predict: give at least one, a mapping of columns to values.")
    if not all(isinstance(row, Mapping) for row in data):
        raise DataError(
            "The data must be a file or a list of rows, each a mapping of columns to values, such as "
            "[{'text': 'what a lovely film'}]; of a pandas frame give frame.to_dict('records')."
        )
    return Table("the data", data)


def _examples(table: Table, reading: TaskReading, *, text: str) -> list[Example]:
    columns = tuple(split_names(text)) or reading.columns
    if len(columns) != len(reading.fields):
        raise DataError(
            f"--text names {len(columns)} columns, but the run was trained on {len(reading.fields)}: "
            f"{', '.join(reading.columns)}. Name one for each, in their order."
        )
    pairs, entry = tuple(zip(reading.fields, columns, strict=True)), format_of(reading)
    needed = [column for label, column in pairs if label not in entry.optional_fields]
    require_columns(table.rows, needed, source=table.name)
    rows = [entry.in_folder(row, pairs, table.folder) for row in table.rows]
    read = entry.read_fields
    return [reading.example(read(row, pairs, where)) for row, where in zip(rows, table.places(), strict=True)]


def _check_columns(table: Table, reading: TaskReading) -> None:
    """Refuse data with a column of the name of one that is added."""
    added = format_of(reading).answer_columns(reading)
    taken = [name for name in columns_of(table.rows) if name in added]
    if taken:
        raise DataError(
            f"{table.name} has a column '{taken[0]}', which the predictions would replace. Rename it, or leave it out."
        )


def _outputs(model: nn.Module, task_format: TaskFormat, examples: Sequence[Example], *, batch_size: int) -> list:
    """Predict every example, in their order, and show how far it is."""
    encoded = task_format.encode(examples)
    with closing(open_progress("predict", unit="row", total=len(encoded))) as progress:
        return predict(model, task_format, encoded, batch_size=batch_size, done=progress.update)
