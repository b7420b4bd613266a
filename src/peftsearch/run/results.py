"""`results.json`: everything that a run found and measured, in one place."""

from dataclasses import dataclass
from typing import Any

from peftsearch.environment import versions
from peftsearch.models.location import hub_id_of
from peftsearch.report.document import read_as
from peftsearch.report.results import (
    FrontEntry,
    GrantedBudget,
    LadderStep,
    RandomBaseline,
    Results,
    SavedResult,
    SeedScores,
    SplitRecord,
    UniformBaseline,
    WallTime,
)
from peftsearch.run.command import command_of
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.proof import Proof
from peftsearch.space import Configuration
from peftsearch.training.fine_tuning import TrainingResult
from peftsearch.training.micro_batches import memory_notes


@dataclass(frozen=True)
class Outcome:
    """A trained configuration over seeds, each proven on its saved result.

    Args:
        configuration: what was trained.
        runs: one training a seed.
        proofs: the proof of each.
    """

    configuration: Configuration
    runs: list[TrainingResult]
    proofs: list[Proof]

    @property
    def parameters(self) -> int:
        """Trained parameters as counted after reloading, task head excluded."""
        return max(proof.parameters for proof in self.proofs)

    @property
    def seconds(self) -> float:
        """Mean wall time of one training."""
        return sum(run.seconds for run in self.runs) / len(self.runs)

    def memory_notes(self, batch_size: int) -> tuple[str, ...]:
        """What the user should know where memory did not hold a batch."""
        return memory_notes("training", max(run.num_micro_batches for run in self.runs), batch_size)

    def best(self, metric: str) -> int:
        """Index of the seed with the best validation score."""
        return max(range(len(self.runs)), key=lambda i: self.runs[i].validation[metric])

    def validation(self, experiment: Experiment) -> SeedScores:
        """Scores on the validation split in the task's reported metric."""
        return SeedScores.of(experiment.task.reported_metric, [proof.validation for proof in self.proofs])

    def test(self, experiment: Experiment) -> SeedScores:
        """Scores on the test split in the task's reported metric."""
        return SeedScores.of(experiment.task.reported_metric, [proof.test for proof in self.proofs])


@dataclass(frozen=True)
class SearchPart:
    """What only a search adds to the results; a manual configuration has none of it.

    Args:
        space: name of the space that was searched; None without a search.
        seconds: wall time of the search.
        steps: search steps or trials taken.
        baseline: uniform LoRA of at most the same budget, if it was trained.
        random_baseline: a configuration drawn at random within the same budget, if it was trained.
        notes: what the user should know.
        ladder: budget, parameters and modules of each configuration that was found.
        pareto: what `train_front` says of each configuration of the Pareto front, if it was trained.
    """

    space: str | None = None
    seconds: float = 0.0
    steps: int = 0
    baseline: Outcome | None = None
    random_baseline: Outcome | None = None
    notes: tuple[str, ...] = ()
    ladder: tuple[LadderStep, ...] = ()
    pareto: tuple[FrontEntry, ...] = ()


def make_results(
    config: RunConfig,
    experiment: Experiment,
    outcome: Outcome,
    *,
    method: str,
    search: SearchPart,
    saved: SavedResult,
) -> Results:
    """What `results.json` holds; the end of a run adds the verdict, the check in a new process and its notes.

    Args:
        config: settings of the run.
        experiment: task, sites and budgets.
        outcome: the trained configuration.
        method: name of the search method or of the manual configuration.
        search: what only a search adds.
        saved: how the result is loaded.
    """
    task = experiment.task
    return Results(
        method=method,
        space=search.space,
        seed=config.seed,
        seeds=config.seeds,
        command=command_of("search" if search.space else "train", config),
        model=config.model,
        base_model=hub_id_of(config.model),
        task=task.name,
        labels=tuple(task.labels),
        split=read_as(SplitRecord, task.split_record()),
        backbone_parameters=experiment.backbone_parameters,
        budget=_granted(experiment),
        parameters=outcome.parameters,
        head_parameters=experiment.head_parameters,
        modules=len(outcome.configuration),
        modules_by_kind=outcome.configuration.num_modules_by_kind(),
        metric=task.reported_metric,
        selection_metric=task.selection_metric,
        validation=outcome.validation(experiment),
        test=outcome.test(experiment),
        learning_rate=outcome.runs[0].learning_rate,
        seconds=WallTime(search.seconds, outcome.seconds),
        search_steps=search.steps,
        search_cost=search.seconds / outcome.seconds if search.space else None,
        baseline=search.baseline and _describe_uniform(experiment, search.baseline),
        random_baseline=search.random_baseline and RandomBaseline(**_describe(experiment, search.random_baseline)),
        truncated_examples=experiment.num_truncated(),
        ladder=search.ladder,
        pareto=search.pareto,
        notes=(*search.notes, *outcome.memory_notes(config.training.per_device_train_batch_size)),
        versions=versions(),
        saved=saved,
    )


def _granted(experiment: Experiment) -> GrantedBudget | None:
    text = min(experiment.budgets, key=lambda text: experiment.budgets[text], default=None)
    return None if text is None else GrantedBudget(text, experiment.budgets[text])


def _describe_uniform(experiment: Experiment, baseline: Outcome) -> UniformBaseline:
    choices = list(baseline.configuration)
    roles = sorted({choice.site.rsplit(".", 1)[-1] for choice in choices})
    return UniformBaseline("uniform LoRA", choices[0].rank, tuple(roles), **_describe(experiment, baseline))


def _describe(experiment: Experiment, baseline: Outcome) -> dict[str, Any]:
    """What every baseline says of itself."""
    return {
        "modules": len(baseline.configuration),
        "parameters": baseline.parameters,
        "learning_rate": baseline.runs[0].learning_rate,
        "validation": baseline.validation(experiment),
        "test": baseline.test(experiment),
        "seconds": baseline.seconds,
    }
