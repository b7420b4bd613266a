"""Search with a method that trains a supernet once and scores configurations with its weights."""

import time
from pathlib import Path

from accelerate import PartialState
from peft import PeftModel

from peftsearch.files import new_folder, write_json
from peftsearch.methods.evolutionary.uniform_gates import UniformGates
from peftsearch.run.folder import read_json
from peftsearch.run.gate_search import make_supernet, save_inherited
from peftsearch.run.searched import Searched
from peftsearch.run.trial_search import failure_notes, make_problem
from peftsearch.run.workspace import Scope, Workspace
from peftsearch.searches.gate_driver import run_gate_search, search_steps, share_out
from peftsearch.searches.method import METHODS
from peftsearch.searches.task_search import SearchData, TaskHost
from peftsearch.searches.trial_driver import run_trials
from peftsearch.searches.trials import Problem, Proposal
from peftsearch.supernet.gates import configuration_gates
from peftsearch.supernet.supernet import Supernet
from peftsearch.training import stop_signals
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.evaluation import evaluate


def search_with_inherited_weights(workspace: Workspace, scope: Scope, folder: Path) -> Searched:
    """Train the supernet, or load the one of an interrupted search; then propose and score."""
    config, started = workspace.config, time.perf_counter()
    problem = make_problem(workspace, scope)
    supernet, training_seconds = _trained_supernet(workspace, scope, problem, folder / "search")
    proposer = METHODS[config.method_name].load()(problem, config.method)
    trials = run_trials(
        proposer,
        score=InheritedScorer(workspace, supernet),
        space=scope.space,
        record=folder / "search" / "trials.jsonl",
    )
    results = proposer.results(trials)
    if config.inherit:
        save_inherited(workspace, scope, supernet, results[min(results)], folder / "search" / "inherited")
    taken = training_seconds + sum(trial.seconds for trial in trials)
    return Searched(results, len(trials), max(taken, time.perf_counter() - started), failure_notes(trials))


def _trained_supernet(workspace: Workspace, scope: Scope, problem: Problem, folder: Path) -> tuple[Supernet, float]:
    """The supernet and the seconds that its training took."""
    record = folder / "supernet.json"
    if not record.exists():
        _train_supernet(workspace, scope, problem, folder)
    Checkpoints(folder).discard()
    stop_signals.stop_if_asked()
    # Read back also when it has just been trained: so a search that goes on scores as one that was never stopped.
    loaded = workspace.fresh_model(workspace.config.seed)
    model = PeftModel.from_pretrained(loaded.model, str(folder / "supernet")).to(PartialState().device)
    return Supernet(model, sites=scope.sites, space=scope.space), read_json(record)["seconds"]


def _train_supernet(workspace: Workspace, scope: Scope, problem: Problem, folder: Path) -> None:
    """Train the supernet and write it, and last of all `supernet.json`."""
    config = workspace.config
    supernet = make_supernet(workspace, scope)
    parts = share_out(workspace.train.encoded, UniformGates, config.seed)
    steps = search_steps(len(parts[0]), config.training, config.method)
    data = SearchData(workspace.task_format, *parts, workspace.validation, workspace.task.selection_metric)
    phase = Phase("supernet", folder, config.seed, steps, run=config.tracked_name)
    host = TaskHost(data, config.training, phase)
    done = run_gate_search(host, supernet, UniformGates(problem.encoding, seed=config.seed)).trainer
    with new_folder(folder / "supernet") as new:
        supernet.model.save_pretrained(str(new))
    write_json(folder / "supernet.json", {"steps": done.state.global_step, "seconds": done.seconds})


class InheritedScorer:
    """Score a proposal with the supernet's weights, without any training."""

    def __init__(self, workspace: Workspace, supernet: Supernet):
        self.workspace, self.supernet = workspace, supernet
        self.widths = {p: ranks[-1] for p, ranks in supernet.space.ranks.items()}
        count = workspace.config.method.validation_examples or len(workspace.validation.examples)
        self.validation = workspace.first_of_validation(count)

    def __call__(self, proposal: Proposal, number: int) -> float:
        model, split = self.supernet.model, self.validation
        gates = configuration_gates(self.supernet.live, proposal.configuration, self.widths, model.device)
        with self.supernet.gated(gates):
            found = evaluate(
                model,
                self.workspace.task_format,
                split.examples,
                split.encoded,
                batch_size=self.workspace.config.training.per_device_eval_batch_size,
            )
        return found[self.workspace.task.selection_metric]
