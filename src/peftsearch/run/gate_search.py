"""Search with a method that gates a supernet while it is trained."""

from pathlib import Path

from peftsearch.run.experiment import Experiment
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import SearchResult
from peftsearch.run.supernets import inherited_notes, make_supernet, save_inherited
from peftsearch.searches.gate_driver import run_gate_search, search_steps, split_training_set
from peftsearch.searches.method import METHODS
from peftsearch.searches.task_search import SearchData, TaskHost
from peftsearch.training.arguments import Phase
from peftsearch.training.micro_batches import memory_notes


def search_with_gates(experiment: Experiment, request: SearchRequest, folder: Path) -> SearchResult:
    """Train the supernet under the method's gates; the method then names a configuration for each budget.

    Arguments and result are those of `search_configuration`.
    """
    settings = experiment.search_training
    supernet = make_supernet(experiment)
    method = request.load()
    parts = split_training_set(experiment.splits.train.encoded, method, experiment.seed)
    steps = search_steps(len(parts[0]), settings, request.settings)
    strategy = method(
        experiment.space,
        budgets=list(experiment.usable_budgets().values()),
        settings=request.settings,
        planned_steps=steps,
    )
    data = SearchData(experiment.task_format, *parts, experiment.splits.validation, experiment.task.selection_metric)
    counts = METHODS[request.method].progress_counts
    phase = Phase("search", folder / "search", experiment.seed, steps, run=experiment.run_name, counts=counts)
    search = run_gate_search(TaskHost(data, settings, phase), supernet, strategy)
    results = strategy.results()
    if request.inherit:
        save_inherited(experiment, supernet, results[min(results)], folder)
    num_micro_batches = search.micro_batches.num_micro_batches
    memory = memory_notes("search", num_micro_batches, settings.per_device_train_batch_size)
    notes = (*strategy.notes(), *memory, *inherited_notes(request, results))
    return SearchResult(results, search.trainer.state.global_step, search.trainer.seconds, notes)
