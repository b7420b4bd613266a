"""Search a configuration with the run's method, once: what was found is read back when the run goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peftsearch.files import write_json, write_text
from peftsearch.run.folder import read_json
from peftsearch.run.gate_search import search_with_gates
from peftsearch.run.inherited_search import search_with_inherited_weights
from peftsearch.run.searched import Searched
from peftsearch.run.trial_search import search_by_trials
from peftsearch.run.workspace import Scope, Workspace
from peftsearch.searches.method import METHODS, Driver
from peftsearch.space import Configuration
from peftsearch.training import stop_signals
from peftsearch.training.checkpoints import Checkpoints


@dataclass(frozen=True)
class Found:
    """What a search found.

    Args:
        configurations: for each budget in parameters, its configuration.
        steps: optimizer steps of the search, or its trials.
        seconds: wall time.
        notes: what the user should know about the search.
        inherited: folder with the supernet's weights for the smallest budget, if they are wanted.
    """

    configurations: dict[int, Configuration]
    steps: int
    seconds: float
    notes: tuple[str, ...]
    inherited: Path | None

    @property
    def configuration(self) -> Configuration:
        """The one for the smallest budget."""
        return self.configurations[min(self.configurations)]


_SEARCHES: dict[Driver, Callable[[Workspace, Scope, Path], Searched]] = {
    Driver.GATES: search_with_gates,
    Driver.TRIALS: search_by_trials,
    Driver.INHERITED: search_with_inherited_weights,
}


def search_configuration(workspace: Workspace, scope: Scope, folder: Path) -> Found:
    """Search with the run's method, or read what an earlier search in the same folder found."""
    record = folder / "search" / "search.json"
    if not record.exists():
        searched = _SEARCHES[METHODS[workspace.config.method_name].driver](workspace, scope, folder)
        names = _write_configurations(searched.configurations, folder)
        write_json(
            record,
            {
                "steps": searched.steps,
                "seconds": searched.seconds,
                "notes": list(searched.notes),
                "configurations": names,
            },
        )
    # Also those that a kill right after the record has left.
    Checkpoints(folder / "search").discard()
    stop_signals.stop_if_asked()
    document = read_json(record)
    configurations = {
        int(budget): Configuration.load(folder / name) for budget, name in document["configurations"].items()
    }
    inherited = folder / "search" / "inherited" if workspace.config.inherit else None
    return Found(configurations, document["steps"], document["seconds"], tuple(document["notes"]), inherited)


def _write_configurations(results: dict[int, Configuration], folder: Path) -> dict[int, str]:
    """Write the smallest budget's configuration as `configuration.json`, the others beside it by their budget."""
    names = {}
    for budget, configuration in results.items():
        names[budget] = "configuration.json" if budget == min(results) else f"configuration-{budget}.json"
        write_text(folder / names[budget], configuration.to_json())
    return names
