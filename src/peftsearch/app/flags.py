"""Command-line flags of a run: made from the settings classes, read from YAML first and flags on top."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from peftsearch.app.config import RunConfig, SettingError, make_config, read_yaml
from peftsearch.methods.settings import METHODS
from peftsearch.training.settings import TrainingSettings

set_parsing_settings(docstring_parse_attribute_docstrings=False)

# Training settings that may be given without "training." in front, as in the transformers examples.
_SHORT_TRAINING = ("learning_rate", "num_train_epochs", "per_device_train_batch_size", "max_seq_length")
_SHORT_METHOD = ("rank", "roles")


def parse_run(command: str, argv: Sequence[str]) -> RunConfig:
    """Read the flags of `peftsearch search` or `peftsearch train`.

    Raises:
        SettingError: for an unknown flag, a wrong value or an unknown key of the YAML file.
    """
    argv = _expand(_config_first(list(argv)))
    method = _method_name(argv)
    parser = make_parser(command, method)
    try:
        parsed = parser.parse_args(argv)
    except ArgumentError as error:
        raise SettingError(_explain(str(error), parser)) from error
    return make_config(_given(parsed, parser, method))


def make_parser(command: str, method: str) -> ArgumentParser:
    """The parser of a command with the settings of one method."""
    parser = ArgumentParser(
        prog=f"peftsearch {command}",
        description=_DESCRIPTIONS[command],
        exit_on_error=False,
        default_env=False,
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with settings; flags override it")
    parser.add_class_arguments(RunConfig, skip={"method", "training", "method_name"}, as_group=True)
    parser.add_class_arguments(METHODS[method].settings, "method", as_group=True)
    parser.add_argument("--method.name", default=method, help=f"one of {', '.join(METHODS)}; short: --method NAME")
    parser.add_class_arguments(TrainingSettings, "training", as_group=True)
    return parser


_DESCRIPTIONS = {
    "search": "Search a PEFT configuration within a budget, train it, prove it and save it.",
    "train": "Train a configuration from a file or a manual one by name, prove it and save it.",
}


def _config_first(argv: list[str]) -> list[str]:
    """Move --config to the front, so that flags override the file wherever they stand."""
    front, rest = [], []
    while argv:
        flag = argv.pop(0)
        if flag == "--config" and argv:
            front += [flag, argv.pop(0)]
        else:
            (front if flag.startswith("--config=") else rest).append(flag)
    return front + rest


def _expand(argv: list[str]) -> list[str]:
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


_SWITCHES = {name for name, field in RunConfig.__dataclass_fields__.items() if field.type is bool}


def _method_name(argv: Sequence[str]) -> str:
    """The method that the flags or the YAML file name; manual configurations are methods of their own."""
    found = {"configuration": None, "method": None}
    for i, flag in enumerate(argv):
        name, equals, value = flag.partition("=")
        value = value if equals else argv[i + 1] if i + 1 < len(argv) else ""
        if name == "--config":
            document = read_yaml(value)
            method = document.get("method")
            found["method"] = method.get("name") if isinstance(method, dict) else method
            found["configuration"] = document.get("configuration")
        elif name == "--method.name":
            found["method"] = value
        elif name == "--configuration":
            found["configuration"] = value
    name = found["method"] or (found["configuration"] if found["configuration"] in METHODS else "bipeft")
    METHODS[name]
    return name


def _given(parsed: Namespace, parser: ArgumentParser, method: str) -> dict[str, Any]:
    settings = parsed.as_dict()
    for name in ("config",):
        settings.pop(name, None)
    settings["method"] = {**settings.get("method", {}), "name": method}
    return settings


def _explain(message: str, parser: ArgumentParser) -> str:
    """jsonargparse's message in one line, with the nearest flag where one is unknown."""
    known = [option for action in parser._actions for option in action.option_strings]
    wrong = [word.rstrip(",.'\"") for word in message.split() if word.startswith("--")]
    nearest = [match for word in wrong if word not in known for match in get_close_matches(word, known, n=1)]
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    return " ".join(message.split()) + hint + " See --help for all settings."
