"""`results.json`: everything that a run found and measured, in one place."""

from dataclasses import dataclass
from typing import Any

from peftsearch.environment import versions
from peftsearch.models.load import hub_id_of
from peftsearch.run.command import command_of
from peftsearch.run.train import Proof, TrainedRun, summarise
from peftsearch.run.workspace import Scope, Workspace
from peftsearch.space import Configuration
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
    runs: list[TrainedRun]
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

    def scores(self, workspace: Workspace) -> dict[str, Any]:
        """Validation and test score in the task's reported metric."""
        metric = workspace.task.reported_metric
        return {
            "validation": summarise(metric, [proof.validation for proof in self.proofs]),
            "test": summarise(metric, [proof.test for proof in self.proofs]),
        }


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
    ladder: tuple[dict[str, Any], ...] = ()
    pareto: tuple[dict[str, Any], ...] = ()


def make_results(
    workspace: Workspace, scope: Scope, outcome: Outcome, *, method: str, search: SearchPart
) -> dict[str, Any]:
    """The document that `results.json` holds; see docs/run_folder.md for its fields."""
    config, task = workspace.config, workspace.task
    smallest = min(scope.budgets, key=scope.budgets.get) if scope.budgets else None
    return {
        "method": method,
        "space": search.space,
        "seed": config.seed,
        "seeds": config.seeds,
        "command": command_of("search" if search.space else "train", config),
        "model": config.model,
        "base_model": hub_id_of(config.model),
        "task": task.name,
        "labels": list(task.labels),
        "split": task.split_record(),
        "backbone_parameters": scope.backbone_parameters,
        "budget": {"requested": smallest, "parameters": scope.budgets[smallest]} if smallest else None,
        "parameters": outcome.parameters,
        "head_parameters": scope.head_parameters,
        "modules": len(outcome.configuration),
        "modules_by_kind": outcome.configuration.num_modules_by_kind(),
        "metric": task.reported_metric,
        "selection_metric": task.selection_metric,
        **outcome.scores(workspace),
        "learning_rate": outcome.runs[0].learning_rate,
        "seconds": {"search": search.seconds, "train": outcome.seconds},
        "search_steps": search.steps,
        "search_cost": search.seconds / outcome.seconds if search.space else None,
        "baseline": None if search.baseline is None else _describe_uniform(workspace, search.baseline),
        "random_baseline": None if search.random_baseline is None else _describe(workspace, search.random_baseline),
        "truncated_examples": workspace.num_truncated(),
        "ladder": list(search.ladder),
        "pareto": list(search.pareto),
        "notes": [*search.notes, *outcome.memory_notes(config.training.per_device_train_batch_size)],
        "versions": versions(),
    }


def _describe_uniform(workspace: Workspace, baseline: Outcome) -> dict[str, Any]:
    choices = list(baseline.configuration)
    roles = sorted({choice.site.rsplit(".", 1)[-1] for choice in choices})
    return {"name": "uniform LoRA", "rank": choices[0].rank, "roles": roles, **_describe(workspace, baseline)}


def _describe(workspace: Workspace, baseline: Outcome) -> dict[str, Any]:
    return {
        "modules": len(baseline.configuration),
        "parameters": baseline.parameters,
        "learning_rate": baseline.runs[0].learning_rate,
        **baseline.scores(workspace),
        "seconds": baseline.seconds,
    }
