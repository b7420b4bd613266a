"""The result of a search, and its files in the run folder."""

from dataclasses import dataclass
from pathlib import Path

from peftsearch.files import write_json, write_text
from peftsearch.run.folder import read_json
from peftsearch.space import Configuration

_RECORD = "search/search.json"
# Adapter that the smallest budget's configuration starts from, where the search hands one down.
INHERITED = "search/inherited"
# Folder of the trainings of a run's own recipe.
TRAINING = "training"


@dataclass(frozen=True)
class SearchResult:
    """The configurations that a search found, and its length.

    Args:
        configurations: budget in parameters -> its configuration.
        steps: optimizer steps of the search, or its trials.
        seconds: wall time.
        notes: sentences for the user about the search.
    """

    configurations: dict[int, Configuration]
    steps: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def configuration(self) -> Configuration:
        """The configuration for the smallest budget."""
        return self.configurations[min(self.configurations)]

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a run folder holds a finished search."""
        return (folder / _RECORD).exists()

    def save(self, folder: Path) -> None:
        """Write the configurations into a run folder and, last of all, the record of the search."""
        names = _write_configurations(self.configurations, folder)
        write_json(
            folder / _RECORD,
            {"steps": self.steps, "seconds": self.seconds, "notes": list(self.notes), "configurations": names},
        )

    @classmethod
    def load(cls, folder: Path) -> "SearchResult":
        """Read what `save` wrote.

        Raises:
            RunFolderError: if it is missing or malformed.
        """
        document = read_json(folder / _RECORD)
        configurations = {
            int(budget): Configuration.load(folder / name) for budget, name in document["configurations"].items()
        }
        return cls(configurations, document["steps"], document["seconds"], tuple(document["notes"]))


def step_folder(budget: int) -> str:
    """Folder of a larger budget's step of the ladder, within the run folder."""
    return f"ladder/{budget}"


def training_folder(budget: int, *, smallest: int) -> str:
    """Folder for the trainings of a configuration, within the run folder; arguments as for `start_folder`."""
    return TRAINING if budget == smallest else step_folder(budget)


def start_folder(budget: int, *, smallest: int) -> str:
    """Folder of the adapter that a search hands down for a configuration's training, within the run folder.

    Args:
        budget: of the configuration, in parameters.
        smallest: budget of the search.
    """
    return INHERITED if budget == smallest else f"{step_folder(budget)}/start"


def _write_configurations(configurations: dict[int, Configuration], folder: Path) -> dict[int, str]:
    """Write the smallest budget's configuration as `configuration.json`, the others into their steps' folders."""
    names = {}
    for budget, configuration in configurations.items():
        is_smallest = budget == min(configurations)
        names[budget] = "configuration.json" if is_smallest else f"{step_folder(budget)}/configuration.json"
        write_text(folder / names[budget], configuration.to_json())
    return names
