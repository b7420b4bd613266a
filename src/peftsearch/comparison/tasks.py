"""The tasks of a comparison: built-in ones by name, others described by YAML files or mappings. No torch here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from peftsearch.names import split_names
from peftsearch.settings import SettingError, read_yaml, require
from peftsearch.tasks.load import TASKS
from peftsearch.tasks.tables import format_of
from peftsearch.tasks.task import TaskRequest

# What a description of a task may hold beside its name; the same names as a run's settings.
_KEYS = tuple(name for name in TaskRequest.__dataclass_fields__ if name != "seed")
_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class ComparedTask:
    """A task of a comparison: its name in tables, and the settings of a run that load it.

    Args:
        name: in tables.
        settings: some of task, data, text, label, metric, data_dir, max_train_samples and the like; not the seed.
    """

    name: str
    settings: Mapping[str, Any]

    @property
    def folder(self) -> str:
        """Name of the task's folder."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip(".-") or "task"


@dataclass(frozen=True)
class TaskList:
    """The tasks of a comparison, in the order of its columns.

    Args:
        tasks: at least one, each of another name.
    """

    tasks: tuple[ComparedTask, ...]

    @classmethod
    def of(cls, value: Any) -> "TaskList":
        """Read "glue/rte,mine.yaml", or a list of names, files and mappings with a task's settings.

        Raises:
            SettingError: for an empty list, a bad description or two tasks of one name.
            UnknownNameError: for a name that is neither a task nor a file.
        """
        entries = _entries(value)
        require(bool(entries), "tasks", value, "one or more of `peftsearch list tasks`, or YAML files; give --tasks")
        tasks = tuple(map(_read_task, entries))
        folders = [task.folder for task in tasks]
        twice = next((task.name for task in tasks if folders.count(task.folder) > 1), None)
        require(twice is None, "tasks", twice, "tasks of different names; give a `name` in the YAML file")
        return cls(tasks)

    def to_plain(self) -> list[dict[str, Any]]:
        """A list of mappings, which `of` reads again."""
        return [{"name": task.name, **task.settings} for task in self.tasks]


def _entries(value: Any) -> list[Any]:
    if isinstance(value, str):
        return split_names(value)
    require(isinstance(value, list | tuple), "tasks", value, "text or a list")
    return list(value)


def _read_task(entry: Any) -> ComparedTask:
    if isinstance(entry, Mapping):
        return _described(dict(entry), "tasks", name=None)
    if Path(str(entry)).suffix.lower() in _YAML:
        path = Path(str(entry)).expanduser()
        return _described(_beside(read_yaml(path), path.parent), str(path), name=path.stem)
    TASKS[entry]
    return ComparedTask(entry, {"task": entry})


def _described(document: dict[str, Any], source: str, *, name: str | None) -> ComparedTask:
    name = str(document.pop("name", None) or name or document.get("task") or "")
    for key in document:
        if key not in _KEYS:
            nearest = get_close_matches(str(key), _KEYS, n=1)
            hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
            raise SettingError(
                f"Unknown key '{key}' in the task of '{source}'.{hint} Known: name, {', '.join(_KEYS)}."
            )
    given = [key for key in ("task", "data") if document.get(key)]
    require(len(given) == 1, f"{source}: the task's source", given, "one of 'data' (files or a hub id) and 'task'")
    require(bool(name), f"{source}: name", name, "given where a task is described by its data")
    if document.get("task"):
        TASKS[document["task"]]
    return ComparedTask(name, document)


def _beside(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The description with paths that are relative to its own folder made absolute."""
    found = dict(document)
    if data := found.get("data"):
        parts = data if isinstance(data, list) else str(data).split(",")
        found["data"] = ",".join(_resolved(str(part).strip(), folder) for part in parts)
    if data_dir := found.get("data_dir"):
        found["data_dir"] = str((folder / Path(str(data_dir)).expanduser()).resolve())
    return found


def _resolved(part: str, folder: Path) -> str:
    """A file's absolute path; anything else is a hub id and stays."""
    path = folder / Path(part).expanduser()
    return str(path.resolve()) if path.exists() or format_of(path) else part
