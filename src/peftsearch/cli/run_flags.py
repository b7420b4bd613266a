"""Command-line flags of a run: made from the settings classes, read from YAML first and flags on top."""

from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from peftsearch.cli.parser import explain, refuse_token
from peftsearch.run.config import RunConfig, make_config, method_of
from peftsearch.searches.method import METHODS
from peftsearch.settings import SettingError, read_yaml
from peftsearch.training.settings import TrainingSettings

set_parsing_settings(docstring_parse_attribute_docstrings=False)

# Training settings that may be given without "training." in front, as in the transformers examples.
_SHORT_TRAINING = (
    "learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "max_seq_length",
    "save_steps",
    "save_total_limit",
    "report_to",
)
_SHORT_METHOD = ("rank", "roles")
_SHORT = [f"--{name}" for name in (*_SHORT_TRAINING, *_SHORT_METHOD, "method")]


def parse_run(command: str, argv: Sequence[str]) -> RunConfig:
    """Read the flags of `peftsearch search` or `peftsearch train`.

    Raises:
        SettingError: for an unknown flag, a wrong value or an unknown key of the YAML file.
    """
    refuse_token(argv)
    argv = expand(list(argv))
    settings = read_file(value_of("--config", argv))
    if name := value_of("--method.name", argv):
        settings["method"] = {"name": name}
    if configuration := value_of("--configuration", argv):
        settings["configuration"] = configuration
    method = method_of(settings)
    _refuse_rank_and_roles(argv, method)
    parser = make_parser(command, method)
    try:
        given = parser.parse_args(argv, defaults=False).as_dict()
    except (ArgumentError, ValueError) as error:
        known = [option for action in parser._actions for option in action.option_strings]
        raise SettingError(explain(str(error), known + _SHORT, parser.prog)) from error
    given.pop("config", None)
    return make_config(merge(settings | {"method": _method_settings(settings, method)}, given))


def _refuse_rank_and_roles(argv: Sequence[str], method: str) -> None:
    """Say whose the short flags are where the method has no such setting."""
    for name in _SHORT_METHOD:
        if value_of(f"--method.{name}", argv) is not None and not hasattr(METHODS[method].settings, name):
            raise SettingError(
                f"--{name} belongs to manual methods; a search ('{method}') and a configuration file have their own. "
                f"Leave it out, or use for example `peftsearch train --configuration lora --{name} ...`."
            )


def make_parser(command: str, method: str) -> ArgumentParser:
    """The parser of a command with the settings of one method."""
    parser = ArgumentParser(
        prog=f"peftsearch {command}",
        description=_DESCRIPTIONS[command],
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=str, help="YAML file with settings; flags override it")
    parser.add_argument("--model", type=str, help="'demo', a folder, a .gguf file or a hub id (required)")
    parser.add_class_arguments(RunConfig, skip={"model", "method", "training", "method_name"}, as_group=True)
    parser.add_class_arguments(METHODS[method].settings, "method", as_group=True)
    parser.add_argument("--method.name", help=f"one of {', '.join(METHODS)}; short: --method NAME (default: {method})")
    parser.add_class_arguments(TrainingSettings, "training", as_group=True)
    return parser


_DESCRIPTIONS = {
    "search": "Search a PEFT configuration within a budget, train it, prove it and save it.",
    "train": "Train a configuration from a file or a manual one by name, prove it and save it.",
}


def read_file(path: str | None) -> dict[str, Any]:
    """The settings of a YAML file; none without a file."""
    return read_yaml(path) if path else {}


def value_of(flag: str, argv: Sequence[str]) -> str | None:
    """The last value of a flag, as "--flag value" or "--flag=value"."""
    found = None
    for i, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == flag:
            found = value if equals else argv[i + 1] if i + 1 < len(argv) else ""
    return found


def expand(argv: list[str]) -> list[str]:
    """Write short forms out: --method NAME, --rank, --learning_rate, and switches without a value."""
    short = {f"--{name}": f"--training.{name}" for name in _SHORT_TRAINING}
    short |= {f"--{name}": f"--method.{name}" for name in _SHORT_METHOD} | {"--method": "--method.name"}
    expanded = []
    for i, flag in enumerate(argv):
        name, equals, value = flag.partition("=")
        expanded.append(short.get(name, name) + equals + value)
        is_last = i + 1 == len(argv) or argv[i + 1].startswith("--")
        if name.lstrip("-") in _SWITCHES and not equals and is_last:
            expanded.append("true")
    return expanded


_SWITCHES = {
    prefix + name
    for prefix, settings_class in (("", RunConfig), ("training.", TrainingSettings))
    for name, field in settings_class.__dataclass_fields__.items()
    if field.type is bool
}


def _method_settings(settings: dict[str, Any], method: str) -> dict[str, Any]:
    """The method's settings from the file, if they are of this method."""
    found = settings.get("method")
    return {**(found if isinstance(found, dict) else {}), "name": method}


def merge(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Flags over the file, setting by setting in nested groups too."""
    merged = dict(settings)
    for name, value in given.items():
        is_group = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merged[name] | value if is_group else value
    return merged
