"""`results.json`: everything that a run found and measured. See docs/run_folder.md."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from peftsearch.errors import RunFolderError
from peftsearch.report.document import read_as
from peftsearch.report.rate_search import RateSearch
from peftsearch.report.result_parts import (
    FrontEntry,
    GrantedBudget,
    HandBaseline,
    HandedOver,
    LadderChoice,
    LadderStep,
    RandomBaseline,
    SavedResult,
    SeedScores,
    SplitRecord,
    UniformBaseline,
    Verified,
    WallTime,
)
from peftsearch.tasks.reading import TaskReading
from peftsearch.training.probe_record import HeadProbe

# Name of the search's own configuration among those that can be handed over.
SEARCHED = "searched"


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
        validation_loss: mean on the validation split over the seeds; None in files of earlier versions, and for a
            baseline that was handed over.
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
    validation_loss: float | None = None
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
            validation_loss=None,
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
