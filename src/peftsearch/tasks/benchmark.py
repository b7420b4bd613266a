"""Tasks of the GLUE and SuperGLUE benchmarks: one loader for all, and one table entry for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from peftsearch.errors import DataError
from peftsearch.tasks.cells import read_class, read_fields, read_number, read_value
from peftsearch.tasks.load import TaskEntry, register_task
from peftsearch.tasks.splits import Splits, check_splits, limit_train, split_large, split_small
from peftsearch.tasks.tables import Row, read_hub, read_table, require_columns
from peftsearch.tasks.task import TRAIN, VALIDATION, Example, Goal, Target, Task, TaskRequest

HUB_NAMES = {"glue": "nyu-mll/glue", "superglue": "aps/super_glue"}
# Split -> the names that it may have in a benchmark.
_SPLIT_NAMES = {TRAIN: ("train",), VALIDATION: ("validation", "validation_matched")}


@dataclass(frozen=True)
class Benchmark:
    """One task of a benchmark.

    Args:
        suite: "glue" or "superglue".
        name: the task's name in the suite, also that of its hub configuration.
        description: one line for `peftsearch list tasks`.
        fields: pairs of a label, as text-to-text models read it, and the column with the text.
        metrics: names of metrics; the first one selects checkpoints.
        reported: the metric that results show first; by default the first one of `metrics`.
        labels: class names by code.
        goal: what is predicted.
        prefix: first words of the text-to-text source; by default the name.
        max_length: tokens kept of an example.
        is_large: whether `split_large` makes the splits, and not `split_small`.
        folder: name of the local folder; by default the task's name.
        label: name of the label column.
        prepare: rewrites a row before its fields are read; it may add "group" and "candidates".
        needs: columns that `prepare` reads; by default those of `fields`.

    Source: the task specifications in the code of BIPEFT and S3Delta; BIPEFT, appendix A, for the reported metrics.
    """

    suite: str
    name: str
    description: str
    fields: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...] = ("accuracy",)
    reported: str = ""
    labels: tuple[str, ...] = ("0", "1")
    goal: Goal = Goal.CLASSIFICATION
    prefix: str = ""
    max_length: int = 128
    is_large: bool = False
    folder: str = ""
    label: str = "label"
    prepare: Callable[[Row], Row] = dict
    needs: tuple[str, ...] = ()


def register_benchmark(benchmark: Benchmark) -> None:
    """Register a task of a benchmark as "suite/name"."""
    name = f"{benchmark.suite}/{benchmark.name}"
    register_task(TaskEntry(name, benchmark.description, lambda request: load_benchmark(benchmark, request)))


def load_benchmark(benchmark: Benchmark, request: TaskRequest) -> Task:
    """Read the data of a benchmark task, from local files or from the hub, and split it by the task's rule.

    Args:
        benchmark: the task.
        request: local folder, number of training examples and seed.

    Raises:
        DataError: for data that is missing or does not fit the task.
    """
    tables, source = _read_local(benchmark, request) if request.data_dir else _read_from_hub(benchmark)
    splits = _split(benchmark, tables, request)
    name = f"{benchmark.suite}/{benchmark.name}"
    labels = benchmark.labels if benchmark.goal is Goal.CLASSIFICATION else ()
    check_splits(splits.rows, labels=labels, source=name)
    return Task(
        name=name,
        goal=benchmark.goal,
        labels=labels,
        selection_metric=benchmark.metrics[0],
        reported_metric=benchmark.reported or benchmark.metrics[0],
        splits={split: tuple(examples) for split, examples in splits.rows.items()},
        split_rule=splits.rule,
        max_length=benchmark.max_length,
        source=source,
        prefix=benchmark.prefix or benchmark.name,
        other_metrics=benchmark.metrics[1:],
        seed=request.seed,
    )


def _read_local(benchmark: Benchmark, request: TaskRequest) -> tuple[dict[str, list[Example]], dict[str, object]]:
    data_dir = Path(str(request.data_dir)).expanduser()
    if not data_dir.is_dir():
        raise DataError(f"There is no folder '{data_dir}'. --data_dir is the folder with NAME/train.jsonl.")
    folder = data_dir / (benchmark.folder or benchmark.name)
    paths = {split: _find_file(folder, split) for split in _SPLIT_NAMES}
    tables = {split: _to_examples(benchmark, read_table(path), source=str(path)) for split, path in paths.items()}
    return tables, {"files": {split: f"{folder.name}/{path.name}" for split, path in paths.items()}, **_sizes(tables)}


def _find_file(folder: Path, split: str) -> Path:
    candidates = [folder / f"{name}.jsonl" for name in _SPLIT_NAMES[split]]
    for path in candidates:
        if path.is_file():
            return path
    raise DataError(
        f"There is no file '{candidates[0]}'. Put the data there with the field names of the Hugging Face data set, "
        "or leave --data_dir out to download it."
    )


def _read_from_hub(benchmark: Benchmark) -> tuple[dict[str, list[Example]], dict[str, object]]:
    hub_name = HUB_NAMES[benchmark.suite]
    found = read_hub(hub_name, benchmark.name)
    tables = {}
    for split, names in _SPLIT_NAMES.items():
        rows = next(found[name] for name in names if name in found)
        tables[split] = _to_examples(benchmark, rows, source=f"{hub_name} {benchmark.name} {split}")
    return tables, {"hub": hub_name, "configuration": benchmark.name, **_sizes(tables)}


def _sizes(tables: Mapping[str, list[Example]]) -> dict[str, object]:
    return {"rows": {split: len(examples) for split, examples in tables.items()}}


def _split(benchmark: Benchmark, tables: Mapping[str, list[Example]], request: TaskRequest) -> Splits:
    rule = split_large if benchmark.is_large else split_small
    splits = rule(tables[TRAIN], tables[VALIDATION], seed=request.seed)
    train = limit_train(splits.rows[TRAIN], max_samples=request.max_train_samples, seed=request.seed)
    return Splits({**splits.rows, TRAIN: train}, splits.rule)


def _to_examples(benchmark: Benchmark, rows: list[Row], *, source: str) -> list[Example]:
    needed = benchmark.needs or tuple(column for _, column in benchmark.fields)
    require_columns(rows, (*needed, benchmark.label), source=source)
    return [_to_example(benchmark, row, where=f"row {number} of {source}") for number, row in enumerate(rows, start=1)]


def _to_example(benchmark: Benchmark, row: Row, *, where: str) -> Example:
    # The raw row is checked first, so that `prepare` only sees columns with values.
    for column in benchmark.needs:
        read_value(row, column, what="text", where=where)
    target = _read_target(benchmark, row, where=where)
    try:
        prepared = benchmark.prepare(row)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where} doesn't have the form of the Hugging Face data set: {error!r}.") from error
    if benchmark.goal is Goal.ANSWER and not prepared.get("candidates"):
        raise DataError(f"{where} lists no entities, of which one is the answer. Remove the row.")
    return Example(
        fields=read_fields(prepared, benchmark.fields, where=where),
        target=target,
        group=str(prepared.get("group", "")),
        candidates=tuple(prepared.get("candidates", ())),
    )


def _read_target(benchmark: Benchmark, row: Row, *, where: str) -> Target:
    if benchmark.goal is Goal.REGRESSION:
        return read_number(row, benchmark.label, where=where)
    if benchmark.goal is Goal.CLASSIFICATION:
        return read_class(row, benchmark.label, num_classes=len(benchmark.labels), where=where)
    answers = read_value(row, benchmark.label, what="label", where=where)
    if not isinstance(answers, (list, tuple)) or not answers:
        raise DataError(f"The column '{benchmark.label}' holds {answers!r} in {where}, but must list gold answers.")
    return tuple(dict.fromkeys(str(answer) for answer in answers))
