"""Flags of `search`, `train` and `compare`, made from the settings classes; they override a YAML file."""

from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from peftsearch.cli.parser import explain, refuse_token
from peftsearch.comparison.config import CompareConfig, make_compare_config
from peftsearch.run.config import RunConfig
from peftsearch.run.make_config import make_config, method_of
from peftsearch.searches.method import METHODS
from peftsearch.settings import SettingError, read_yaml
from peftsearch.training.settings import TrainingSettings

set_parsing_settings(docstring_parse_attribute_docstrings=False)

# Training settings that may be given without "training." in front, as in the transformers examples.
_SHORT_TRAINING = (
    "learning_rate",
    "num_train_epochs",
    "class_weights",
    "early_stopping",
    "per_device_train_batch_size",
    "max_seq_length",
    "max_target_length",
    "max_new_tokens",
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
    argv = _expand(argv)
    settings = _read_file(argv)
    if name := _value_of("--method.name", argv):
        settings["method"] = {"name": name}
    if configuration := _value_of("--configuration", argv):
        settings["configuration"] = configuration
    method = method_of(settings)
    _refuse_rank_and_roles(argv, method)
    given = _parse(_make_run_parser(command, method), argv, short=_SHORT)
    return make_config(_merge(settings | {"method": _method_settings(settings, method)}, given))


def parse_compare(argv: Sequence[str]) -> CompareConfig:
    """Read the flags of `peftsearch compare`.

    Raises:
        PeftSearchError: for an unknown flag, a wrong value or an unknown key of the YAML file.
    """
    argv = _expand(argv)
    settings = _read_file(argv)
    given = _parse(_make_compare_parser(), argv)
    chosen = given.pop("methods", None)
    return make_compare_config(_merge(settings, given), chosen=chosen)


def _parse(parser: ArgumentParser, argv: Sequence[str], *, short: Sequence[str] = ()) -> dict[str, Any]:
    """Read the flags that are given, without defaults, as nested plain data.

    Args:
        parser: of the command.
        argv: in long forms, as `_expand` returns it.
        short: flags that `_expand` knows, to suggest beside the parser's own.
    """
    try:
        given = parser.parse_args(list(argv), defaults=False).as_dict()
    except (ArgumentError, ValueError) as error:
        known = [option for action in parser._actions for option in action.option_strings]
        raise SettingError(explain(str(error), [*known, *short], parser.prog)) from error
    given.pop("config", None)
    return given


def _refuse_rank_and_roles(argv: Sequence[str], method: str) -> None:
    """Refuse --rank and --roles for a method without these settings."""
    for name in _SHORT_METHOD:
        if _value_of(f"--method.{name}", argv) is not None and not hasattr(METHODS[method].settings, name):
            raise SettingError(
                f"--{name} belongs to manual methods; a search ('{method}') and a configuration file have their own. "
                f"Leave it out, or use for example `peftsearch train --configuration lora --{name} ...`."
            )


def _make_run_parser(command: str, method: str) -> ArgumentParser:
    """Make the parser of a command with the settings of one method."""
    parser = _make_parser(command)
    parser.add_class_arguments(RunConfig, skip={"model", "method", "training", "method_name"}, as_group=True)
    parser.add_class_arguments(METHODS[method].settings, "method", as_group=True)
    parser.add_argument("--method.name", help=f"one of {', '.join(METHODS)}; short: --method NAME (default: {method})")
    parser.add_class_arguments(TrainingSettings, "training", as_group=True)
    return parser


def _make_compare_parser() -> ArgumentParser:
    parser = _make_parser("compare")
    parser.add_argument("--methods", type=str, help="comma-separated names of `peftsearch list methods` (required)")
    parser.add_argument("--tasks", type=str, help="comma-separated built-in names and YAML files (required)")
    parser.add_argument("--budget", type=str, help="one budget, such as 100k, 0.1% or 5bp (required)")
    parser.add_class_arguments(CompareConfig, skip={"model", "methods", "tasks", "budget", "training"}, as_group=True)
    parser.add_class_arguments(TrainingSettings, "training", as_group=True)
    return parser


def _make_parser(command: str) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"peftsearch {command}",
        description=_DESCRIPTIONS[command],
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=str, help="YAML file with settings; flags override it")
    parser.add_argument("--model", type=str, help="'demo', a folder, a .gguf file or a hub id (required)")
    return parser


_DESCRIPTIONS = {
    "search": "Search a PEFT configuration within a budget, train it, prove it and save it.",
    "train": "Train a configuration from a file or a manual one by name, prove it and save it.",
    "compare": "Compare methods on several tasks within one budget, each against uniform LoRA.",
}


def _read_file(argv: Sequence[str]) -> dict[str, Any]:
    """Read the settings of the YAML file after --config; none without one."""
    path = _value_of("--config", argv)
    return read_yaml(path) if path else {}


def _value_of(flag: str, argv: Sequence[str]) -> str | None:
    """The last value of a flag, as "--flag value" or "--flag=value"."""
    found = None
    for i, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == flag:
            found = value if equals else argv[i + 1] if i + 1 < len(argv) else ""
    return found


def _expand(argv: Sequence[str]) -> list[str]:
    """Replace short forms by long ones: --method NAME, --rank, --learning_rate, and switches without a value."""
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
    """The settings of the method in the YAML file, with its name."""
    found = settings.get("method")
    return {**(found if isinstance(found, dict) else {}), "name": method}


def _merge(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Override the file by the flags, setting by setting in nested groups too."""
    merged = dict(settings)
    for name, value in given.items():
        is_group = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merged[name] | value if is_group else value
    return merged
