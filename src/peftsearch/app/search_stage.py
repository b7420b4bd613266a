"""Search a configuration with a method that gates a supernet."""

from dataclasses import dataclass
from pathlib import Path

from peftsearch.app.run_folder import read_json, write_json, write_text
from peftsearch.app.workspace import Scope, Workspace
from peftsearch.methods.bipeft import Bipeft
from peftsearch.methods.gate_driver import SearchData, planned_steps, run_gate_search, split_in_halves
from peftsearch.modules.attach import attach
from peftsearch.space import Configuration
from peftsearch.supernet.supernet import Supernet
from peftsearch.training.trainer import Phase


@dataclass(frozen=True)
class Found:
    """What a search found.

    Args:
        configurations: for each budget in parameters, its configuration.
        steps: search steps taken.
        seconds: wall time.
        triggers: how often the search found its ranking stable and acted on it; 0 makes the choice arbitrary.
        inherited: folder with the supernet's weights for the smallest budget, if they are wanted.
    """

    configurations: dict[int, Configuration]
    steps: int
    seconds: float
    triggers: int
    inherited: Path | None

    @property
    def configuration(self) -> Configuration:
        """The one for the smallest budget."""
        return self.configurations[min(self.configurations)]


def search_configuration(workspace: Workspace, scope: Scope, folder: Path) -> Found:
    """Search with the run's method, or read what an earlier search in the same folder found."""
    record = folder / "search" / "search.json"
    if not record.exists():
        _search(workspace, scope, folder)
    document = read_json(record)
    configurations = {
        int(budget): Configuration.load(folder / name) for budget, name in document["configurations"].items()
    }
    inherited = folder / "search" / "inherited" if workspace.config.inherit else None
    return Found(configurations, document["steps"], document["seconds"], document["triggers"], inherited)


def _search(workspace: Workspace, scope: Scope, folder: Path) -> None:
    config = workspace.config
    loaded = workspace.fresh_model(config.seed)
    model = attach(
        loaded.model, scope.space.largest, sites=scope.sites, head=loaded.head, task_type=workspace.task_type
    )
    supernet = Supernet(model, sites=scope.sites, space=scope.space)
    halves = split_in_halves(workspace.train.encoded, config.seed)
    epochs = config.method.epochs or config.training.num_train_epochs
    phase = Phase("search", folder / "search", config.seed, planned_steps(len(halves[0]), config.training, epochs))
    strategy = Bipeft(
        scope.space,
        budgets=list(scope.usable_budgets().values()),
        settings=config.method,
        planned_steps=phase.max_steps,
    )
    searched = run_gate_search(
        supernet,
        strategy=strategy,
        data=SearchData(workspace.form, *halves),
        settings=config.training,
        phase=phase,
    )
    results = strategy.results()
    if config.inherit:
        _save_inherited(workspace, scope, supernet, results[min(results)], folder / "search" / "inherited")
    names = _write_configurations(results, folder)
    write_json(
        folder / "search" / "search.json",
        {
            "steps": searched.steps,
            "seconds": searched.seconds,
            "triggers": strategy.num_triggers,
            "configurations": names,
        },
    )


def _write_configurations(results: dict[int, Configuration], folder: Path) -> dict[int, str]:
    """Write the smallest budget's configuration as `configuration.json`, the others beside it by their budget."""
    names = {}
    for budget, configuration in results.items():
        names[budget] = "configuration.json" if budget == min(results) else f"configuration-{budget}.json"
        write_text(folder / names[budget], configuration.to_json())
    return names


def _save_inherited(
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
    model.save_pretrained(str(folder))
