"""Search with a method that gates a supernet while it is trained."""

from pathlib import Path

from peftsearch.files import new_folder
from peftsearch.modules.attach import attach
from peftsearch.run.searched import Searched
from peftsearch.run.workspace import Scope, Workspace
from peftsearch.searches.gate_driver import run_gate_search, search_steps, share_out
from peftsearch.searches.method import METHODS
from peftsearch.searches.task_search import SearchData, TaskHost
from peftsearch.space import Configuration
from peftsearch.supernet.supernet import Supernet
from peftsearch.training.arguments import Phase
from peftsearch.training.micro_batches import memory_notes


def search_with_gates(workspace: Workspace, scope: Scope, folder: Path) -> Searched:
    """Train the supernet under the method's gates and read the configurations off."""
    config = workspace.config
    supernet = make_supernet(workspace, scope)
    method = METHODS[config.method_name].load()
    parts = share_out(workspace.train.encoded, method, config.seed)
    steps = search_steps(len(parts[0]), config.training, config.method)
    phase = Phase("search", folder / "search", config.seed, steps, run=config.tracked_name)
    strategy = method(
        scope.space,
        budgets=list(scope.usable_budgets().values()),
        settings=config.method,
        planned_steps=steps,
    )
    data = SearchData(workspace.task_format, *parts, workspace.validation, workspace.task.selection_metric)
    search = run_gate_search(TaskHost(data, config.training, phase), supernet, strategy)
    results = strategy.results()
    if config.inherit:
        save_inherited(workspace, scope, supernet, results[min(results)], folder / "search" / "inherited")
    notes = (
        *strategy.notes(),
        *memory_notes(
            "search", search.micro_batches.num_micro_batches, config.training.per_device_train_batch_size
        ),
    )
    return Searched(results, search.trainer.state.global_step, search.trainer.seconds, notes)


def make_supernet(workspace: Workspace, scope: Scope) -> Supernet:
    """A fresh model with every module of the space at its largest rank."""
    loaded = workspace.fresh_model(workspace.config.seed)
    model = attach(
        loaded.model, scope.space.largest, sites=scope.sites, head=loaded.head, task_type=workspace.task_type
    )
    return Supernet(model, sites=scope.sites, space=scope.space)


def save_inherited(
    workspace: Workspace, scope: Scope, supernet: Supernet, configuration: Configuration, folder: Path
) -> None:
    """Save an adapter of the found configuration that carries the supernet's weights and head."""
    loaded = workspace.fresh_model(workspace.config.seed)
    model = attach(loaded.model, configuration, sites=scope.sites, head=loaded.head, task_type=workspace.task_type)
    target = Supernet(model, sites=scope.sites, space=scope.space.restricted_to(configuration))
    live = set(supernet.live)
    for choice in configuration:
        if choice.placement in live:
            target.module(choice.placement).inherit(supernet.module(choice.placement))
    trained_head = {n: p for n, p in supernet.model.named_parameters() if "modules_to_save" in n}
    for name, parameter in model.named_parameters():
        if name in trained_head:
            parameter.data.copy_(trained_head[name])
    with new_folder(folder) as new:
        model.save_pretrained(str(new))
