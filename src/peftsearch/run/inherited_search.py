"""Search with a method that trains a supernet once and scores configurations with its weights."""

import time
from pathlib import Path

from accelerate import PartialState
from peft import PeftModel

from peftsearch.files import new_folder, write_json
from peftsearch.methods.evolutionary.uniform_gates import UniformGates
from peftsearch.modules.saved_adapter import save_adapter
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import SearchResult
from peftsearch.run.supernets import inherited_notes, make_supernet, save_inherited
from peftsearch.run.trial_search import failure_notes, make_problem
from peftsearch.searches.gate_driver import run_gate_search, search_steps, split_training_set
from peftsearch.searches.method import MethodSettings
from peftsearch.searches.task_search import SearchData, TaskHost
from peftsearch.searches.trial_driver import run_trials
from peftsearch.searches.trials import Problem, Proposal
from peftsearch.supernet.gates import configuration_gates
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.training import stop_signals
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.evaluation import evaluate_for


def search_with_inherited_weights(experiment: Experiment, request: SearchRequest, folder: Path) -> SearchResult:
    """Train the supernet, or load that of an interrupted search; then score proposals with its weights.

    Arguments and result are those of `search_configuration`.
    """
    started = time.perf_counter()
    problem = make_problem(experiment)
    supernet, training_seconds = _trained_supernet(experiment, request.settings, problem, folder / "search")
    proposer = request.load()(problem, request.settings)
    trials = run_trials(
        proposer,
        score=InheritedScorer(experiment, supernet, num_examples=request.settings.validation_examples),
        space=experiment.space,
        record=folder / "search" / "trials.jsonl",
    )
    results = proposer.results(trials)
    if request.inherit:
        save_inherited(experiment, supernet, results[min(results)], folder)
    taken = training_seconds + sum(trial.seconds for trial in trials)
    notes = (*failure_notes(trials), *inherited_notes(request, results))
    return SearchResult(results, len(trials), max(taken, time.perf_counter() - started), notes)


def _trained_supernet(
    experiment: Experiment, settings: MethodSettings, problem: Problem, folder: Path
) -> tuple[Supernet, float]:
    """The supernet and the seconds that its training took."""
    record = folder / "supernet.json"
    if not record.exists():
        _train_supernet(experiment, settings, problem, folder)
    Checkpoints(folder).discard()
    stop_signals.stop_if_asked()
    # Read back also when it has just been trained: so a search that goes on scores as one that was never stopped.
    loaded = experiment.load_model(experiment.seed)
    model = PeftModel.from_pretrained(loaded.model, str(folder / "supernet")).to(PartialState().device)
    return Supernet(model, sites=experiment.sites, space=experiment.space), read_json(record)["seconds"]


def _train_supernet(experiment: Experiment, settings: MethodSettings, problem: Problem, folder: Path) -> None:
    """Train the supernet and write it, and last of all `supernet.json`."""
    supernet = make_supernet(experiment)
    parts = split_training_set(experiment.splits.train.encoded, UniformGates, experiment.seed)
    steps = search_steps(len(parts[0]), experiment.search_training, settings)
    data = SearchData(experiment.task_format, *parts, experiment.splits.validation, experiment.task.selection_metric)
    phase = Phase("supernet", folder, experiment.seed, steps, run=experiment.run_name)
    strategy = UniformGates(problem.encoding, seed=experiment.seed)
    trained = run_gate_search(TaskHost(data, experiment.search_training, phase), supernet, strategy).trainer
    with new_folder(folder / "supernet") as new:
        save_adapter(supernet.model, new)
    write_json(folder / "supernet.json", {"steps": trained.state.global_step, "seconds": trained.seconds})


class InheritedScorer:
    """Score a proposal with the supernet's weights, without any training.

    Args:
        experiment: gives the validation split and the metric.
        supernet: trained.
        num_examples: of the validation split; 0 for all.
    """

    def __init__(self, experiment: Experiment, supernet: Supernet, *, num_examples: int):
        self.experiment, self.supernet = experiment, supernet
        self.widths = {p: ranks[-1] for p, ranks in supernet.space.ranks.items()}
        self.validation = experiment.splits.some_of_validation(
            num_examples or len(experiment.splits.validation.examples)
        )

    def __call__(self, proposal: Proposal, number: int) -> float:
        """Score a proposal: the selection metric, of which the larger is better."""
        model, split, metric = self.supernet.model, self.validation, self.experiment.task.selection_metric
        batch_size = self.experiment.training.per_device_eval_batch_size
        gates = configuration_gates(self.supernet.live, proposal.configuration, self.widths, model.device)
        with self.supernet.gated(gates):
            found = evaluate_for(metric, model, self.experiment.task_format, split, batch_size=batch_size).metrics
        return METRICS[metric].merit(found[metric])
