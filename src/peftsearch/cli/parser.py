"""Parser of the small commands, and the wording of mistakes in the flags of all commands."""

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NoReturn

from peftsearch.settings import SettingError


class CommandParser(argparse.ArgumentParser):
    """Reads the flags of a command; mistakes are raised as our errors.

    Args:
        command: such as "plan".
        description: one sentence for --help.
    """

    def __init__(self, command: str, description: str):
        super().__init__(f"peftsearch {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting.

        Raises:
            SettingError: always.
        """
        known = [option for action in self._actions for option in action.option_strings]
        raise SettingError(explain(message, known, self.prog))


def refuse_token(argv: Sequence[str]) -> None:
    """Refuse a token in the command line, where others can read it, without repeating it.

    Raises:
        SettingError: if there is one.
    """
    if any(word.partition("=")[0] in ("--hub_token", "--token") for word in argv):
        raise SettingError("A token is not taken from the command line. Log in with `hf auth login`, or set HF_TOKEN.")


def explain(message: str, known: Iterable[str], command: str) -> str:
    """Rewrite a parser's message as one line, with the nearest known flag.

    Args:
        message: of the parser.
        known: every flag.
        command: whose --help lists them.
    """
    known = list(known)
    words = [word.rstrip(",.:'\"").partition("=")[0] for word in message.split() if word.startswith("--")]
    nearest = [match for word in words if word not in known for match in get_close_matches(word, known, n=1)]
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    return f"{' '.join(message.split()).rstrip('.')}.{hint} See `{command} --help`."
