"""`results.json`: everything that a run found and measured. See docs/run_folder.md."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean, stdev
from typing import Any

from peftsearch.errors import RunFolderError
from peftsearch.report.document import read_as
from peftsearch.report.wording import with_deviation, write_score
from peftsearch.tasks.reading import TaskReading
from peftsearch.tasks.tag_scores import EntityScore, mean_entities
from peftsearch.training.probe_record import HeadProbe

# Name of the search's own configuration among those that can be handed over.
SEARCHED = "searched"


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
class RateRound:
    """The end of a round of a search for a learning rate.

    Args:
        step: optimizer steps that each of its trainings had taken.
        losses: rate -> mean validation loss; None for a training that broke down.
        kept: rates that went on.
    """

    step: int
    losses: dict[str, float | None]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class RateSearch:
    """A search for a learning rate by trainings that leave early.

    Args:
        rounds: in order.
        cost: steps of all trainings over those of one.
        seconds: wall time of the rounds.
    """

    rounds: tuple[RateRound, ...]
    cost: float
    seconds: float


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
    """

    name: str
    modules: int
    modules_by_kind: dict[str, int]
    parameters: int
    learning_rate: float
    validation: SeedScores
    test: SeedScores
    seconds: float


@dataclass(frozen=True)
class RandomBaseline:
    """A configuration drawn at random within the budget; fields as in `UniformBaseline`."""

    modules: int
    parameters: int
    learning_rate: float
    validation: SeedScores
    test: SeedScores
    seconds: float


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


@dataclass(frozen=True, kw_only=True)
class Results:
    """The document that `results.json` holds, its keys in this order; those with defaults came with later versions.

    Args:
        method: name of the search method or of the manual configuration.
        space: name of the space that was searched; None without a search.
        seed: the first one.
        seeds: number of trainings of each configuration.
        command: repeats the run.
        model: as the user named it.
        base_model: its hub id, if it has one.
        task: name of the task.
        labels: names of the classes in the order of the model's outputs; empty for text-to-text.
        split: how the data was split.
        backbone_parameters: of the pretrained model without task head.
        budget: None if none was given.
        parameters: trained, as counted after reloading, task head excluded.
        head_parameters: of the task head.
        token_parameters: of `parameters`, those of the rows of added tokens.
        modules: how many.
        modules_by_kind: kind -> how many.
        metric: the reported one.
        selection_metric: the one that epoch, learning rate and seed were chosen by.
        validation: scores on the validation split.
        test: scores on the test split.
        learning_rate: of the trainings.
        seconds: of the search and of a training.
        search_steps: search steps or trials.
        search_cost: time of the search over that of one training; None without a search.
        baseline: uniform LoRA; None if not trained.
        baselines: the other manual methods that were trained.
        random_baseline: None if not trained.
        truncated_examples: name of the split -> examples that were cut to the longest length.
        truncated_targets: name of the split -> texts to write that were cut; empty for tasks without them.
        ladder: one step for each budget, ascending.
        ladder_choice: None for a single step, or scores without a standard error.
        pareto: empty if the front was not trained.
        notes: sentences that the reader must know.
        versions: package -> version.
        verdict: whether the search paid off.
        saved: how the result is loaded.
        verified: None if it was not checked in a new process.
        handed_over: the configuration whose adapter is in the run folder; None for the only one that could be.
        head_probe: of the first seed; None where trainings started with a fresh head, or there is no head.
        rate_search: for the learning rate; None where it was given.
        search_learning_rate: LoRA's in the search; None without one.
        reading: how rows of the task are read, for `peftsearch predict`; None in files of earlier versions.
    """

    method: str
    space: str | None
    seed: int
    seeds: int = 1
    command: str = ""
    model: str
    base_model: str | None = None
    task: str
    labels: tuple[str, ...] = ()
    split: SplitRecord
    backbone_parameters: int
    budget: GrantedBudget | None
    parameters: int
    head_parameters: int
    token_parameters: int = 0
    modules: int
    modules_by_kind: dict[str, int]
    metric: str
    selection_metric: str
    validation: SeedScores
    test: SeedScores
    learning_rate: float
    seconds: WallTime
    search_steps: int
    search_cost: float | None
    baseline: UniformBaseline | None
    baselines: tuple[HandBaseline, ...] = ()
    random_baseline: RandomBaseline | None = None
    truncated_examples: dict[str, int] = field(default_factory=dict)
    truncated_targets: dict[str, int] = field(default_factory=dict)
    ladder: tuple[LadderStep, ...] = ()
    ladder_choice: LadderChoice | None = None
    pareto: tuple[FrontEntry, ...] = ()
    notes: tuple[str, ...] = ()
    versions: dict[str, str]
    verdict: str = ""
    saved: SavedResult
    verified: Verified | None = None
    handed_over: HandedOver | None = None
    head_probe: HeadProbe | None = None
    rate_search: RateSearch | None = None
    search_learning_rate: float | None = None
    reading: TaskReading | None = None

    @property
    def of_adapter(self) -> "Results":
        """The same document about the configuration that was handed over, which may be a baseline."""
        chosen = self.handed_over
        if chosen is None or chosen.name == SEARCHED:
            return self
        return replace(
            self,
            method=chosen.name,
            space=None,
            modules=chosen.modules,
            modules_by_kind=chosen.modules_by_kind,
            parameters=chosen.parameters,
            learning_rate=chosen.learning_rate,
            validation=chosen.validation,
            test=chosen.test,
        )

    @property
    def hand_baselines(self) -> tuple[UniformBaseline | HandBaseline, ...]:
        """Every manual method that was trained beside the search."""
        return (*((self.baseline,) if self.baseline else ()), *self.baselines)

    @classmethod
    def from_dict(cls, document: Any, *, name: str = "results.json") -> "Results":
        """Read what `to_dict` gave, in this version or an earlier one.

        Args:
            document: as `json.loads` gives it.
            name: of the file, for messages.

        Raises:
            RunFolderError: if it is something else.
        """
        try:
            return read_as(cls, document)
        except ValueError as error:
            raise RunFolderError(
                f"'{name}' does not hold the results of a run: {error}. Another version may have written it; start "
                "the run anew with --overwrite."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return json.loads(json.dumps(asdict(self, dict_factory=_of_own_task)))


# Fields that only some tasks have, as they are for all others.
_OF_SOME_TASKS: tuple[tuple[str, Any], ...] = (("by_entity", {}), ("truncated_targets", {}), ("max_new_tokens", 0))


def _of_own_task(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of a record but for those that only other tasks have."""
    return dict(pair for pair in pairs if pair not in _OF_SOME_TASKS)
