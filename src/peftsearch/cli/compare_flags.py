"""Command-line flags of `peftsearch compare`: read from YAML first, flags on top."""

from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser

from peftsearch.cli.parser import explain
from peftsearch.cli.run_flags import expand, merge, read_file, value_of
from peftsearch.comparison.config import CompareConfig, make_compare_config
from peftsearch.settings import SettingError
from peftsearch.training.settings import TrainingSettings

_DESCRIPTION = "Compare methods on several tasks within one budget, each against uniform LoRA."


def parse_compare(argv: Sequence[str]) -> CompareConfig:
    """Read the flags of `peftsearch compare`.

    Raises:
        PeftSearchError: for an unknown flag, a wrong value or an unknown key of the YAML file.
    """
    argv = expand(list(argv))
    settings = read_file(value_of("--config", argv))
    parser = make_compare_parser()
    try:
        given = parser.parse_args(argv, defaults=False).as_dict()
    except (ArgumentError, ValueError) as error:
        known = [option for action in parser._actions for option in action.option_strings]
        raise SettingError(explain(str(error), known, parser.prog)) from error
    given.pop("config", None)
    chosen = given.pop("methods", None)
    return make_compare_config(merge(settings, given), chosen=chosen)


def make_compare_parser() -> ArgumentParser:
    """The parser of the command."""
    parser = ArgumentParser(
        prog="peftsearch compare",
        description=_DESCRIPTION,
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=str, help="YAML file with settings; flags override it")
    parser.add_argument("--model", type=str, help="'demo', a folder, a .gguf file or a hub id (required)")
    parser.add_argument("--methods", type=str, help="comma-separated names of `peftsearch list methods` (required)")
    parser.add_argument("--tasks", type=str, help="comma-separated built-in names and YAML files (required)")
    parser.add_argument("--budget", type=str, help="one budget, such as 100k, 0.1% or 5bp (required)")
    parser.add_class_arguments(CompareConfig, skip={"model", "methods", "tasks", "budget", "training"}, as_group=True)
    parser.add_class_arguments(TrainingSettings, "training", as_group=True)
    return parser
