"""The settings of a run: one dataclass, the same from YAML, flags and Python. No torch here."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from peftsearch.errors import RunFolderError
from peftsearch.files import read_limited
from peftsearch.methods.bipeft.settings import BipeftSettings
from peftsearch.run.limits import RUN, TRAINING, check_limits
from peftsearch.searches.method import METHODS, Driver, MethodSettings
from peftsearch.settings import ABOVE_ZERO, SettingError, require, show
from peftsearch.space.budget import Budget
from peftsearch.space.presets import SPACES, Preset
from peftsearch.training.settings import TrainingSettings

# Settings that say how to start a run, not what it is; resuming may change them.
HOW_TO_START = (
    "output",
    "resume",
    "overwrite",
    "dry_run",
    "verify",
    "push_to_hub",
    "hub_model_id",
    "hub_private_repo",
)
# No settings file is as large.
_MAX_YAML_BYTES = 1_000_000
# Settings of a training that change nothing in its result.
HOW_TO_TRAIN = ("training.save_steps", "training.save_total_limit", "training.report_to")


@dataclass(frozen=True)
class RunConfig:
    """What a run is asked to do.

    Args:
        model: "demo", a folder, a .gguf file or a hub id.
        task: "glue/NAME", "superglue/NAME" or "demo"; see `peftsearch list tasks`.
        data: instead of a task, files "train.csv[,valid.csv[,test.csv]]" (csv, tsv, json, jsonl, parquet) or a hub id.
        text: text column(s) of `data`, comma-separated.
        label: label column of `data`.
        data_dir: folder with NAME/{train,validation}.jsonl of GLUE and SuperGLUE, instead of the hub.
        budget: parameters (102600, 100k) or a share of the backbone (0.05%, 5bp); several, comma-separated, give a
            ladder from one search, of which the smallest is trained.
        space: search space; see `peftsearch list spaces`. By default the one that the method was published with.
        method_name: see `peftsearch list methods`.
        method: settings of the method.
        configuration: what `train` trains: a file, a run folder, or a manual method of `peftsearch list methods`.
        output: run folder; by default runs/TASK-METHOD-BUDGET.
        seed: of the split, the search and the first training.
        seeds: number of trainings, with seeds counted up from `seed`.
        max_train_samples: use only so many training examples; 0 for all.
        inherit: start the training from the supernet's weights instead of fresh ones; for methods that train one.
        baseline: also train uniform LoRA of at most the same budget.
        random_baseline: also train a configuration drawn at random from the same space and budget.
        pareto: also train every configuration of the search's Pareto front of parameters and score; for methods that
            train whole configurations, such as autopeft.
        learning_rate_grid: comma-separated rates, of which each method gets its best on validation.
        resume: continue the run in the output folder; finished stages are not repeated.
        overwrite: delete the run in the output folder first.
        dry_run: check everything, show the plan and stop.
        push_to_hub: upload the finished run to the Hugging Face hub; needs `hub_model_id`.
        hub_model_id: name of the hub's repository, such as "me/my-adapter".
        hub_private_repo: make the repository private when it is created.
        verify: at the end, load, count and score the saved result once more in a new process.
        training: settings of every training.
    """

    model: str
    task: str | None = None
    data: str | None = None
    text: str | None = None
    label: str | None = None
    data_dir: str | None = None
    budget: str = ""
    space: str = ""
    method_name: str = "bipeft"
    method: MethodSettings = field(default_factory=BipeftSettings)
    configuration: str | None = None
    output: str | None = None
    seed: int = 0
    seeds: int = 1
    max_train_samples: int = 0
    inherit: bool = False
    baseline: bool = True
    random_baseline: bool = False
    pareto: bool = False
    learning_rate_grid: str = ""
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    push_to_hub: bool = False
    hub_model_id: str | None = None
    hub_private_repo: bool = False
    verify: bool = True
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        METHODS[self.method_name]
        self._check_space()
        for text in self.budget_texts:
            Budget.parse(text)
        check_limits("", self, RUN)
        check_limits("training.", self.training, TRAINING)
        check_limits("method.", self.method, self.method.LIMITS)
        require(not (self.resume and self.overwrite), "resume", True, "only without --overwrite")
        needed = "given with push_to_hub, such as 'me/my-adapter'"
        require(not self.push_to_hub or bool(self.hub_model_id), "hub_model_id", self.hub_model_id, needed)
        driver = METHODS[self.method_name].driver
        has_front = driver is Driver.TRIALS
        require(has_front or not self.pareto, "pareto", True, f"false with the method '{self.method_name}'")
        has_supernet = driver in (Driver.GATES, Driver.INHERITED)
        require(has_supernet or not self.inherit, "inherit", True, f"false with the method '{self.method_name}'")
        self.learning_rates  # noqa: B018  reads them

    def _check_space(self) -> None:
        """Refuse a space whose choices are tied in a way that the method cannot search."""
        entry, encoding = METHODS[self.method_name], SPACES[self.space_name].encoding
        if entry.is_search and encoding not in entry.encodings:
            searchable = [name for name in SPACES if SPACES[name].encoding in entry.encodings]
            raise SettingError(
                f"The method '{self.method_name}' cannot search the space '{self.space_name}'. "
                f"It can search: {', '.join(searchable)}."
            )

    @property
    def space_name(self) -> str:
        """The space as given, or the method's own."""
        return self.space or METHODS[self.method_name].space

    @property
    def preset(self) -> Preset:
        """The space, with the ranks that the method chooses among."""
        preset = SPACES[self.space_name]
        return replace(preset, ranks=self.method.candidate_ranks(preset.ranks))

    @property
    def budget_texts(self) -> list[str]:
        """The requested budgets, as written."""
        return [text.strip() for text in self.budget.split(",") if text.strip()]

    @property
    def learning_rates(self) -> list[float]:
        """The grid of rates, or the one rate of the training settings."""
        if not self.learning_rate_grid.strip():
            return [self.training.learning_rate]
        try:
            rates = sorted({float(rate) for rate in self.learning_rate_grid.split(",")})
        except ValueError as error:
            raise SettingError(
                f"learning_rate_grid is '{self.learning_rate_grid}', but must be numbers such as '1e-3,3e-3'."
            ) from error
        allowed = all(map(ABOVE_ZERO.holds, rates))
        require(allowed, "learning_rate_grid", self.learning_rate_grid, "rates above 0")
        return rates

    @property
    def tracked_name(self) -> str:
        """What trackers tell the runs of a project apart by: the end of the output folder."""
        return "-".join(Path(self.output_folder).parts[-3:]).strip("/\\-.")

    @property
    def output_folder(self) -> str:
        """The run folder."""
        if self.output:
            return self.output
        what = (self.task or Path((self.data or "data").split(",")[0]).stem).replace("/", "-")
        parts = [what, self.method_name, *([self.budget.replace("%", "pct").replace(",", "-")] if self.budget else [])]
        return str(Path("runs") / "-".join(parts))

    def to_yaml(self) -> str:
        """The settings as a file for `--config`."""
        document = {name: value for name, value in asdict(self).items() if name not in HOW_TO_START}
        document["method"] = {"name": document.pop("method_name"), **document["method"]}
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def make_config(settings: Mapping[str, Any]) -> RunConfig:
    """Build the settings of a run from nested plain data, as YAML and Python users write them.

    `method` is a name, or a mapping with "name" and the method's settings; `training` is a mapping.

    Raises:
        SettingError: for a setting that does not exist or has a wrong type.
    """
    settings = dict(settings)
    if "method_name" in settings:
        raise SettingError("Unknown setting 'method_name'. Did you mean 'method', a name or a mapping with 'name'?")
    name = method_of(settings)
    method = settings.pop("method", None) or {}
    method = {} if isinstance(method, str) else as_mapping("method", method)
    method.pop("name", None)
    nested = {
        "method_name": name,
        "method": build_settings(METHODS[name].settings, method, "method."),
        "training": build_settings(
            TrainingSettings, as_mapping("training", settings.pop("training", None) or {}), "training."
        ),
    }
    if not settings.get("model"):
        raise SettingError("No model is given. Give --model: 'demo', a folder, a .gguf file or a hub id.")
    return build_settings(RunConfig, settings | nested, "")


def method_of(settings: Mapping[str, Any]) -> str:
    """Name of the method: as given, or the manual configuration's own, or the default."""
    method = settings.get("method") or {}
    name = method if isinstance(method, str) else as_mapping("method", method).get("name")
    configuration = settings.get("configuration")
    is_manual = isinstance(configuration, str) and configuration in METHODS
    name = str(name or (configuration if is_manual else "bipeft"))
    METHODS[name]
    return name


def as_mapping(name: str, value: Any) -> dict[str, Any]:
    """The value as settings by name.

    Raises:
        SettingError: if it is no mapping.
    """
    if not isinstance(value, Mapping):
        raise SettingError(f"'{name}' is {show(value)}, but must be a mapping of settings.")
    return dict(value)


def build_settings(settings_class: type, values: Mapping[str, Any], prefix: str) -> Any:
    """Make a settings object from plain data.

    Args:
        prefix: what stands before the settings' names in messages, such as "training.".

    Raises:
        SettingError: for a name that the class does not have, or a value of a wrong type.
    """
    known = {f.name: f.type for f in fields(settings_class)}
    for name in values:
        if name not in known:
            nearest = get_close_matches(str(name), known, n=1)
            hint = f" Did you mean '{prefix}{nearest[0]}'?" if nearest else ""
            raise SettingError(f"Unknown setting '{prefix}{name}'.{hint} Known: {', '.join(sorted(known))}.")
    return settings_class(**{name: _typed(prefix + name, value, known[name]) for name, value in values.items()})


_TYPES = {"str": str, "int": int, "float": float, "bool": bool, str: str, int: int, float: float, bool: bool}


def _typed(name: str, value: Any, annotation: Any) -> Any:
    """Check a value against its field's type; numbers may be written as text, as YAML does with 1e-3."""
    optional_text = str(annotation) in ("str | None", "typing.Optional[str]")
    if is_dataclass(value) or (value is None and optional_text):
        return value
    wanted = str if optional_text else _TYPES[annotation]
    if wanted is str:
        return _text(name, value)
    if wanted is bool:
        require(isinstance(value, bool), name, value, "true or false")
        return value
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    require(not math.isnan(number) and (wanted is float or number.is_integer()), name, value, f"a {_WORDS[wanted]}")
    return wanted(number)


_WORDS = {int: "whole number", float: "number"}


def _text(name: str, value: Any) -> str:
    require(not isinstance(value, bool), name, value, "text (in YAML, write it in quotes)")
    require(isinstance(value, str | int | float), name, value, "text")
    text = str(value)
    # Neither can be in the name of a file, and settings are names of files more often than not.
    is_plain = "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
    require(is_plain, name, value, "text without zero bytes and halves of surrogate pairs")
    return text


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        SettingError: if it is missing, not YAML, or not a mapping.
    """
    try:
        document = yaml.safe_load(read_limited(Path(path), max_bytes=_MAX_YAML_BYTES))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"Cannot read the settings file '{path}': {str(error).splitlines()[0]}.") from error
    return as_mapping(str(path), document or {})


def read_config(path: Path) -> RunConfig:
    """Read `config.yaml` of a run folder."""
    return make_config(read_yaml(path))


def check_same_run(config: RunConfig, earlier: RunConfig) -> None:
    """Refuse to resume a run with other settings.

    Raises:
        RunFolderError: with the settings that differ.
    """
    differing = differences(yaml.safe_load(earlier.to_yaml()), yaml.safe_load(config.to_yaml()))
    if differing:
        raise RunFolderError(
            f"The run in '{config.output_folder}' was started with other settings ({'; '.join(differing)}). "
            "Resume with the same ones, or start anew with --overwrite or another --output."
        )


def differences(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The settings that differ and are not only about how to run, in words, each by its full name."""
    found = []
    for name in {**then, **now}:
        before, after = then.get(name), now.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{name}.")
        elif before != after and prefix + name not in HOW_TO_TRAIN:
            found.append(f"{prefix}{name}: was {before!r}, is {after!r}")
    return found
