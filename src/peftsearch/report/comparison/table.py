"""The result of a comparison: a row for each method, the best first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from peftsearch.report.comparison.paired import Paired, compare_pairs
from peftsearch.tasks.metric_registry import METRICS, Metric


@dataclass(frozen=True)
class RunScore:
    """One run; without a score it has failed, or has not been run yet.

    Args:
        task: name of the task.
        method: name of the method.
        seed: of the run.
        error: why it failed.
        space: that was searched; None where nothing was.
        parameters: trained parameters, task head excluded.
        metric: of both scores.
        validation: score on the validation split.
        test: score on the test split.
        validation_loss: mean on the validation split; None where it does not decide what a run hands over.
        learning_rate: of the training.
        search_seconds: wall time of the search.
        train_seconds: wall time of the training.
        folder: of the run, below that of the comparison.
    """

    task: str
    method: str
    seed: int
    error: str | None = None
    space: str | None = None
    parameters: int | None = None
    metric: str | None = None
    validation: float | None = None
    test: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    search_seconds: float | None = None
    train_seconds: float | None = None
    folder: str = ""


@dataclass(frozen=True)
class TaskScore:
    """Test scores of a method on a task over seeds.

    Args:
        mean: in the task's metric.
        std: sample deviation; None for one seed.
        seeds: number of finished runs.
    """

    mean: float
    std: float | None
    seeds: int


@dataclass(frozen=True)
class MethodRow:
    """A method over all tasks.

    Args:
        method: its name.
        outside_budget: whether the budget does not hold for it.
        space: that it searched.
        parameters: largest of all runs.
        scores: task -> test scores; tasks without a finished run are left out.
        average: of the tasks' means; None unless every task has one.
        search_seconds: mean wall time of a search.
        train_seconds: mean wall time of a training.
        against: the method against the reference; None for the reference itself.
        handed_over: mean gain over the reference of the better of the two on validation: what a run of the method
            hands over. None for the reference itself, or without a pair.
        open: runs that have not ended.
        errors: "task, seed N: reason" of each failed run.
    """

    method: str
    outside_budget: bool
    space: str | None
    parameters: int | None
    scores: dict[str, TaskScore]
    average: float | None
    search_seconds: float | None
    train_seconds: float | None
    against: Paired | None
    handed_over: float | None
    open: int
    errors: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonFacts:
    """Facts that hold for the whole comparison.

    Args:
        model: as the user named it.
        backbone_parameters: of the model, without task head.
        budget: as the user wrote it.
        budget_parameters: the budget as a number.
        reference: the method that every other is compared with.
        outside_budget: methods that the budget does not hold for.
        tasks: in the order of the columns.
        seeds: of the runs.
        learning_rates: that the first seed chose among.
        splits: task -> the rule and the sizes of its splits.
        wall_seconds: of the whole comparison, over every time that it was started.
    """

    model: str
    backbone_parameters: int
    budget: str
    budget_parameters: int
    reference: str
    outside_budget: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    splits: dict[str, str]
    wall_seconds: float


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Args:
        facts: of the whole comparison.
        rows: one a method; see `make_rows` for their order.
        runs: every run, finished or not.
    """

    facts: ComparisonFacts
    rows: tuple[MethodRow, ...]
    runs: tuple[RunScore, ...]

    @property
    def metric(self) -> Metric:
        """The metric of averages and differences; several tasks all have one in percent, which stands for them."""
        return metric_of_runs(self.runs)

    @classmethod
    def of(cls, facts: ComparisonFacts, runs: Sequence[RunScore]) -> "Comparison":
        """Sum up the runs."""
        return cls(facts, tuple(make_rows(facts, runs)), tuple(runs))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Comparison":
        """Read the result of `to_dict` and sum it up anew."""
        facts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in document["facts"].items()
        }
        return cls.of(ComparisonFacts(**facts), [RunScore(**run) for run in document["cells"]])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        document = asdict(self)
        return document | {"cells": document.pop("runs")}


def metric_of_runs(runs: Iterable[RunScore]) -> Metric:
    """The metric of the first run that has one; accuracy before there is any."""
    return METRICS[next((run.metric for run in runs if run.metric), "accuracy")]


def make_rows(facts: ComparisonFacts, runs: Sequence[RunScore]) -> list[MethodRow]:
    """A row for each method, by average; those with open runs come after, those with failed runs last."""
    reference = [run for run in runs if run.method == facts.reference]
    methods = dict.fromkeys(run.method for run in runs)
    rows = [_make_row(facts, method, [run for run in runs if run.method == method], reference) for method in methods]
    metric = metric_of_runs(runs)
    return sorted(rows, key=lambda row: (bool(row.errors), row.average is None, -metric.merit(row.average or 0.0)))


def _make_row(facts: ComparisonFacts, method: str, runs: list[RunScore], reference: list[RunScore]) -> MethodRow:
    scores = {task: score for task in facts.tasks if (score := _score(runs, task))}
    finished, is_reference = [run for run in runs if run.test is not None], method == facts.reference
    return MethodRow(
        method=method,
        outside_budget=method in facts.outside_budget,
        space=runs[0].space,
        parameters=max((run.parameters for run in finished if run.parameters is not None), default=None),
        scores=scores,
        average=fmean(s.mean for s in scores.values()) if len(scores) == len(facts.tasks) else None,
        search_seconds=_mean(run.search_seconds for run in finished),
        train_seconds=_mean(run.train_seconds for run in finished),
        against=None if is_reference else compare_pairs(_tests(finished), _tests(reference)),
        handed_over=None if is_reference else _handed_over(finished, reference),
        open=sum(run.test is None and run.error is None for run in runs),
        errors=tuple(f"{run.task}, seed {run.seed}: {run.error}" for run in runs if run.error is not None),
    )


def _score(runs: list[RunScore], task: str) -> TaskScore | None:
    values = [run.test for run in runs if run.task == task and run.test is not None]
    if not values:
        return None
    return TaskScore(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def _handed_over(runs: list[RunScore], reference: list[RunScore]) -> float | None:
    own, others = _tests(runs), _tests(reference)
    scores = _merits(runs, "validation"), _merits(reference, "validation")
    losses = _losses(runs), _losses(reference)

    def is_worse(key: Any) -> bool:
        if all(key in known for known in losses):
            return losses[0][key] > losses[1][key]
        return all(key in known for known in scores) and scores[0][key] < scores[1][key]

    return _mean(0.0 if is_worse(k) else own[k] - others[k] for k in own if k in others)


def _losses(runs: Iterable[RunScore]) -> dict[Any, float]:
    """(task, seed) -> loss on the validation split, where it decides what is handed over."""
    return {(run.task, run.seed): run.validation_loss for run in runs if run.validation_loss is not None}


def _tests(runs: Iterable[RunScore]) -> dict[Any, float]:
    return _merits(runs, "test")


def _merits(runs: Iterable[RunScore], split: str) -> dict[Any, float]:
    """(task, seed) -> score on a split, of which the larger is better."""
    scored = ((run, getattr(run, split)) for run in runs)
    return {(run.task, run.seed): metric_of_runs([run]).merit(value) for run, value in scored if value is not None}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
