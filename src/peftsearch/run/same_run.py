"""What is continued must have been started with the same settings."""

from collections.abc import Collection, Mapping
from typing import Any

import yaml

from peftsearch.errors import RunFolderError
from peftsearch.run.config import RunConfig
from peftsearch.settings import find_differences
from peftsearch.training.settings import HOW_TO_TRAIN


def check_same_run(config: RunConfig, earlier: RunConfig, *, moved: Collection[str] = ()) -> None:
    """Refuse to resume a run with other settings.

    Args:
        config: the settings given now.
        earlier: those that the run was started with.
        moved: names of settings that may differ, since what they name is known by its fingerprint.

    Raises:
        RunFolderError: with the settings that differ.
    """
    then, now = (
        {name: value for name, value in yaml.safe_load(each.to_yaml()).items() if name not in moved}
        for each in (earlier, config)
    )
    refuse_other_settings(then, now, whose=f"The run in '{config.output_folder}'", continue_with="Resume with")


def refuse_other_settings(then: Mapping[str, Any], now: Mapping[str, Any], *, whose: str, continue_with: str) -> None:
    """Refuse to continue what was started with other settings, except for those that change no result.

    Args:
        then: the settings at the start, nested as in a settings file.
        now: the settings given now.
        whose: subject of the message.
        continue_with: verb and preposition of the advice, such as "Resume with".

    Raises:
        RunFolderError: with the settings that differ.
    """
    differing = find_differences(then, now, ignored=HOW_TO_TRAIN)
    if differing:
        raise RunFolderError(
            f"{whose} was started with other settings ({'; '.join(differing)}). "
            f"{continue_with} the same ones, or start anew with --overwrite or another --output."
        )
