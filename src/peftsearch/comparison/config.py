"""The settings of a comparison: the same from YAML, flags and Python. No torch here."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from peftsearch.comparison.tasks import TaskList
from peftsearch.environment import threads_of_each
from peftsearch.errors import BudgetError, RunFolderError
from peftsearch.mirror import Mirror
from peftsearch.names import split_names
from peftsearch.run.config import SEED, require_folder
from peftsearch.run.folder import list_content
from peftsearch.run.make_config import as_they_were
from peftsearch.run.same_run import refuse_other_settings
from peftsearch.searches.method import METHODS
from peftsearch.settings import Settings, as_mapping, at_least, build_settings, limited, read_yaml, require
from peftsearch.space.presets import SPACES
from peftsearch.training.settings import TrainingSettings, read_rates

# The method that every other is compared with: uniform LoRA of at most the same budget.
REFERENCE = "lora"
# Manual methods that no budget holds or that need none.
WITHOUT_BUDGET = ("full", "head")
SETTINGS_FILE = "comparison.yaml"
# Settings that say how to do a comparison, not what it is; doing it again may change them.
_HOW = ("output", "mirror", "workers", "threads", "ray_address", "resume", "overwrite", "dry_run", "verify")


@dataclass(frozen=True)
class MethodList:
    """The methods of a comparison, one a row of its table.

    A row is named as its method, or has a name of its own and names its method among the settings: so one method can
    be compared with other settings of itself.

    Args:
        names: of the rows, in the order given, the reference added where it was missing.
        settings: name of a row -> its method's settings; "method" and "space" among them name these two.
    """

    names: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, value: Any, *, chosen: str | None = None) -> "MethodList":
        """Read "bipeft,lora", a list, or a mapping of names to settings.

        Args:
            value: as in a settings file.
            chosen: names that are compared, if not all of `value`; its mapping then only gives settings.

        Raises:
            SettingError: for an empty list, or a name given twice.
            UnknownNameError: for a method or a space that does not exist.
        """
        settings = _settings_of(value) if isinstance(value, Mapping) else {}
        names = _names(chosen if chosen is not None else list(value) if isinstance(value, Mapping) else value)
        require(bool(names), "methods", chosen or value, "one or more of `peftsearch list methods`; give --methods")
        for name in (*names, *settings):
            is_name = re.fullmatch(r"[\w-][\w.-]*", name)
            require(
                bool(is_name), "methods", name, "a name of letters, digits, '_', '-' and '.', since it names a folder"
            )
            own = settings.get(name, {})
            METHODS[str(own.get("method", name))]
            if "space" in own:
                SPACES[str(own["space"])]
        twice = next((name for name in names if names.count(name) > 1), None)
        require(twice is None, "methods", twice, "given once")
        found = settings.get(REFERENCE)
        require(not found, f"methods.{REFERENCE}", found, "without settings: it is the largest uniform LoRA, see docs")
        return cls(tuple(dict.fromkeys((*names, REFERENCE))), settings)

    def method_of(self, row: str) -> str:
        """Name of a row's method."""
        return str(self._of_row(row).get("method", row))

    def space_of(self, row: str) -> str:
        """Name of the space that a row searches; empty where the row names none."""
        return str(self._of_row(row).get("space", ""))

    def settings_of(self, row: str) -> dict[str, Any]:
        """The settings of a row's method."""
        return {name: value for name, value in self._of_row(row).items() if name not in ("method", "space")}

    def _of_row(self, row: str) -> dict[str, Any]:
        return dict(self.settings.get(row) or {})

    def to_plain(self) -> dict[str, dict[str, Any]]:
        """A mapping, which `of` reads again."""
        return {name: self._of_row(name) for name in self.names}


def _settings_of(value: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {str(name): as_mapping(f"methods.{name}", own or {}) for name, own in value.items()}


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return split_names(value)
    require(isinstance(value, list | tuple), "methods", value, "text, a list, or a mapping of names to settings")
    return [str(name) for name in value]


@dataclass(frozen=True)
class CompareConfig(Settings):
    """Settings of a comparison.

    Args:
        model: "demo", a folder, a .gguf file or a hub id.
        methods: are compared; uniform LoRA is always among them.
        tasks: the methods are compared on.
        budget: one budget, as parameters (102600, 100k) or a share of the backbone (0.05%, 5bp).
        data_dir: folder with NAME/{train,validation}.jsonl of GLUE and SuperGLUE, instead of the hub.
        space: search space of every searching method; by default each method's own.
        seeds: runs of each method on each task, with seeds counted up from `seed`.
        seed: of the first run.
        learning_rate_grid: comma-separated rates; the first seed of each method and task chooses on validation.
        max_train_samples: use only so many training examples; 0 for all.
        max_eval_samples: use only so many validation and so many test examples; 0 for all.
        output: folder of the comparison.
        mirror: a URL that keeps a copy of it, as s3://bucket/name (needs s3fs) or gs://; each run is brought from
            there and sent there, so that the machines of a cluster need no folder that all of them see.
        workers: methods and tasks that run at the same time; more than 1 needs ray.
        threads: CPU threads of each worker; 0 shares the cores out.
        ray_address: a running ray cluster ("auto" finds it); without one, and without RAY_ADDRESS, this machine.
        resume: go on with the comparison in the output folder, which must be there; without it one that is there goes
            on too.
        overwrite: delete the comparison in the output folder first.
        dry_run: check everything, show the plan and stop.
        verify: at the end of each run, load, count and score its result once more in a new process.
        training: settings of every training.
    """

    model: str
    methods: MethodList
    tasks: TaskList
    budget: str
    data_dir: str | None = None
    space: str = ""
    seeds: int = limited(3, at_least(1))
    seed: int = limited(0, SEED)
    learning_rate_grid: str = ""
    max_train_samples: int = limited(0, at_least(0))
    max_eval_samples: int = limited(0, at_least(0))
    output: str = "runs/compare"
    mirror: str = ""
    workers: int = limited(1, at_least(1))
    threads: int = limited(0, at_least(0))
    ray_address: str = ""
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    verify: bool = True
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not (self.resume and self.overwrite), "resume", True, "only without --overwrite")
        require_folder(self.output)
        if len(self.budget.split(",")) > 1 or not self.budget.strip():
            raise BudgetError(
                f"budget is '{self.budget}', but a comparison needs exactly one. Give --budget, for example 0.1%."
            )

    @property
    def folder(self) -> Path:
        """The output folder."""
        return Path(self.output)

    @property
    def copy(self) -> Mirror:
        """The copy of the output folder; without `mirror` there is none, and nothing is ever copied."""
        return Mirror(self.folder, self.mirror)

    @property
    def run_seeds(self) -> range:
        """The seed of each run of a method on a task."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def rates(self) -> list[float]:
        """The grid of rates, or the one rate; empty where the first seed finds it."""
        return read_rates(self.learning_rate_grid) or self.training.given_rates

    @property
    def first_seed_chooses(self) -> bool:
        """Whether the first seed of a method on a task chooses the learning rate of the others."""
        return len(self.rates) != 1

    @property
    def num_threads(self) -> int:
        """CPU threads of each worker: as given, as OMP_NUM_THREADS says, or an equal share of the cores."""
        return self.threads or threads_of_each(self.workers)

    def to_plain(self) -> dict[str, Any]:
        """Plain data of the settings that decide on results, which `make_compare_config` reads again."""
        document = {name: value for name, value in vars(self).items() if name not in _HOW}
        nested = {
            "methods": self.methods.to_plain(),
            "tasks": self.tasks.to_plain(),
            "training": asdict(self.training),
        }
        return document | nested

    def to_yaml(self) -> str:
        """The settings that decide on results as a file for `--config`."""
        return yaml.safe_dump(self.to_plain(), sort_keys=False, allow_unicode=True)


def make_compare_config(settings: Mapping[str, Any], *, chosen: str | None = None) -> CompareConfig:
    """Build the settings of a comparison from nested plain data, as YAML and Python users write them.

    Args:
        settings: `methods` is text, a list, or a mapping of names to settings; `tasks` is text, or a list.
        chosen: names of the methods that are compared, if not all of `settings["methods"]`.

    Raises:
        PeftSearchError: for a setting that is missing, does not exist or is not allowed.
    """
    settings = dict(settings)
    require(bool(settings.get("model")), "model", settings.get("model"), "given: a folder, a hub id, ...; use --model")
    parsed = {
        "methods": MethodList.of(settings.pop("methods", None) or "", chosen=chosen),
        "tasks": TaskList.of(settings.pop("tasks", None) or ""),
        "budget": settings.pop("budget", None) or "",
        "training": build_settings(TrainingSettings, settings.pop("training", None)),
    }
    return build_settings(CompareConfig, settings | parsed)


def read_compare_config(path: Path) -> CompareConfig:
    """Read the settings file of a comparison's folder.

    Raises:
        PeftSearchError: if it cannot be read.
    """
    document = read_yaml(path)
    return make_compare_config(document | {"training": as_they_were(document.get("training"))})


def check_same_comparison(config: CompareConfig) -> None:
    """Refuse to go on with a comparison of other settings, or in a folder that holds something else.

    Methods, tasks and seeds may be added, since no finished run depends on them, but not left out.

    Raises:
        RunFolderError: with the settings that differ.
    """
    path, content = config.folder / SETTINGS_FILE, list_content(config.folder)
    if path.is_file():
        if not config.overwrite:
            then, now = (yaml.safe_load(each.to_yaml()) for each in (read_compare_config(path), config))
            refuse_other_settings(
                then,
                _without_additions(now, then),
                whose=f"The comparison in '{config.folder}'",
                continue_with="Methods, tasks and seeds may be added; else go on with",
            )
    elif config.resume:
        raise RunFolderError(f"There is no comparison in '{config.folder}' to go on with. Leave --resume out.")
    elif content:
        raise RunFolderError(
            f"The folder '{config.folder}' is not empty and holds no comparison (it has no {SETTINGS_FILE}). "
            "Give another folder with --output."
        )


def _without_additions(now: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings of now, without the methods, tasks and seeds that were not there then."""
    tasks = [task["name"] for task in then["tasks"]]
    kept = {
        "methods": {name: own for name, own in now["methods"].items() if name in then["methods"]},
        "tasks": [task for task in now["tasks"] if task["name"] in tasks],
        "seeds": min(now["seeds"], then["seeds"]),
    }
    return {**now, **kept}
