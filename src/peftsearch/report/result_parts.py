"""The parts of `results.json`: scores, how they came about, baselines, ladders and fronts, and what was saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from peftsearch.report.rate_search import RateSearch
from peftsearch.report.wording import with_deviation, write_score
from peftsearch.tasks.tag_scores import EntityScore, mean_entities


@dataclass(frozen=True)
class SeedScores:
    """Scores of trainings that differ in their seed, in percent or, for errors, in the unit of the labels.

    Args:
        metric: name of the metric.
        value: mean over the seeds.
        std: sample deviation over the seeds; None for one seed.
        per_seed: in the order of the seeds.
        all: mean over the seeds of every metric of the task.
        by_entity: of tags that mark spans, type -> the means of its scores; empty for other tasks, and for validation.
    """

    metric: str
    value: float
    std: float | None
    per_seed: tuple[float, ...]
    all: dict[str, float]
    by_entity: dict[str, EntityScore] = field(default_factory=dict)

    @classmethod
    def of(
        cls, metric: str, rows: Sequence[dict[str, float]], by_entity: Sequence[Mapping[str, EntityScore]] = ()
    ) -> "SeedScores":
        """Sum up the metrics of one training a row, and its scores by type of entity."""
        values = tuple(row[metric] for row in rows)
        means = {name: fmean(row[name] for row in rows) for name in rows[0]}
        deviation = stdev(values) if len(values) > 1 else None
        return cls(metric, fmean(values), deviation, values, means, mean_entities(by_entity))

    @property
    def text(self) -> str:
        """The mean, with its deviation if there is one."""
        return with_deviation(self.metric, self.value, self.std)

    @property
    def mean_text(self) -> str:
        """The mean alone."""
        return write_score(self.metric, self.value)


@dataclass(frozen=True)
class GrantedBudget:
    """The smallest budget of a run, as requested and in parameters."""

    requested: str
    parameters: int


@dataclass(frozen=True)
class SplitRecord:
    """Record of how the data was split.

    Args:
        rule: in words.
        seed: of the draw, if there was one.
        source: where the data came from; its keys depend on the task.
        sizes: name of the split -> examples.
        sha256: name of the split -> hash of its examples in order.
    """

    rule: str
    seed: int = 0
    source: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WallTime:
    """Seconds of the search, 0 without one, and the mean of one training."""

    search: float
    train: float


@dataclass(frozen=True)
class UniformBaseline:
    """Uniform LoRA of at most the same budget.

    Args:
        name: "uniform LoRA".
        rank: the same everywhere.
        roles: where it is, in every layer.
        modules: how many.
        parameters: trained, task head excluded.
        learning_rate: of its trainings.
        validation: scores on the validation split.
        test: scores on the test split.
        seconds: mean wall time of one training.
        rate_search: for the learning rate; None where it was given, and in files of earlier versions.
    """

    name: str
    rank: int
    roles: tuple[str, ...]
    modules: int
    parameters: int
    learning_rate: float
    validation: SeedScores
    test: SeedScores
    seconds: float
    rate_search: RateSearch | None = None


@dataclass(frozen=True)
class HandBaseline:
    """A manual method of at most the same budget, other than uniform LoRA.

    Args:
        name: of the method, such as "lnfit_lora".
        modules: how many.
        modules_by_kind: kind -> how many.
        parameters: trained, task head excluded.
        learning_rate: of its trainings.
        validation: scores on the validation split.
        test: scores on the test split.
        seconds: mean wall time of one training.
        rate_search: for the learning rate; None where it was given, and in files of earlier versions.
    """

    name: str
    modules: int
    modules_by_kind: dict[str, int]
    parameters: int
    learning_rate: float
    validation: SeedScores
    test: SeedScores
    seconds: float
    rate_search: RateSearch | None = None


@dataclass(frozen=True)
class RandomBaseline:
    """A configuration drawn at random within the budget; fields as in `UniformBaseline`."""

    modules: int
    parameters: int
    learning_rate: float
    validation: SeedScores
    test: SeedScores
    seconds: float
    rate_search: RateSearch | None = None


@dataclass(frozen=True)
class LadderStep:
    """The configuration found for one budget; sizes in parameters, task head excluded.

    Args:
        budget: in parameters.
        parameters: at most the budget.
        modules: how many.
        folder: of its trainings, within the run folder; empty in files of versions that trained the smallest alone.
        learning_rate: of its trainings.
        validation: scores on the validation split; None where it was not trained.
        test: scores on the test split; None where it was not trained.
        baseline: uniform LoRA of at most the same budget; None if not trained.
    """

    budget: int
    parameters: int
    modules: int
    folder: str = ""
    learning_rate: float | None = None
    validation: SeedScores | None = None
    test: SeedScores | None = None
    baseline: UniformBaseline | None = None


@dataclass(frozen=True)
class LadderChoice:
    """The smallest step of a ladder whose validation score is within one standard error of the best step's.

    Args:
        budget: of that step, in parameters.
        best_budget: of the step with the best validation score.
        standard_error: of that score, in its unit.
    """

    budget: int
    best_budget: int
    standard_error: float


@dataclass(frozen=True)
class FrontEntry:
    """A trained configuration of the Pareto front of a search by trials.

    Args:
        folder: of its trainings, within the run folder.
        trial: its number in the search.
        search_score: its score in the search, of which the larger is better.
        parameters: trained, task head excluded.
        modules: how many.
        learning_rate: of its trainings.
        validation: scores on the validation split.
        test: scores on the test split.
    """

    folder: str
    trial: int
    search_score: float
    parameters: int
    modules: int
    learning_rate: float
    validation: SeedScores
    test: SeedScores


@dataclass(frozen=True)
class HandedOver:
    """The configuration whose adapter a run hands over, where a search was trained beside manual methods.

    Args:
        name: "searched", or that of a baseline.
        reason: why it is this one, in a sentence with both validation scores.
        folder: of its trainings, within the run folder.
        modules: how many.
        modules_by_kind: kind -> how many.
        parameters: trained, task head excluded.
        learning_rate: of its trainings.
        validation: scores on the validation split.
        test: scores on the test split.
    """

    name: str
    reason: str
    folder: str
    modules: int
    modules_by_kind: dict[str, int]
    parameters: int
    learning_rate: float
    validation: SeedScores
    test: SeedScores


@dataclass(frozen=True)
class SavedResult:
    """Facts that are needed to load a saved result.

    Args:
        model: the pretrained model as the user named it.
        num_labels: outputs of the task head; None for text-to-text, which has none.
        problem_type: "single_label_classification" or "regression"; None for text-to-text.
        saved_as: name of the folder that holds it: "adapter", or "model" for the whole model.
        labels: names of the classes; empty where there are none.
        task_type: as peft names the task; empty in records of older versions, which had no other than whole texts.
        quantization: how the pretrained model was quantised while it was loaded; empty if it was not.
        device_map: how its layers were placed on devices; "" where the training put them.
    """

    model: str
    num_labels: int | None
    problem_type: str | None
    saved_as: str
    labels: tuple[str, ...] = ()
    task_type: str = ""
    quantization: dict[str, Any] = field(default_factory=dict)
    device_map: str = ""


@dataclass(frozen=True)
class Verified:
    """Parameters, validation metrics and seconds of the new process that checked the saved result."""

    parameters: int
    validation: dict[str, float]
    seconds: float
