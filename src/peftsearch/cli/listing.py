"""List methods, kinds, spaces, tasks, task formats, families and exports, one line an entry."""

from collections.abc import Callable

from peftsearch.errors import UnknownNameError


def _methods() -> dict[str, str]:
    from peftsearch.searches.method import METHODS

    return {n: f"{'search' if METHODS[n].is_search else 'manual'}: {METHODS[n].description}" for n in METHODS}


def _kinds() -> dict[str, str]:
    from peftsearch.modules.peft_module import KINDS

    return {name: f"{KINDS[name].description} ({KINDS[name].source})" for name in KINDS}


def _spaces() -> dict[str, str]:
    from peftsearch.space.presets import SPACES

    return {name: f"{SPACES[name].description} ({SPACES[name].source})" for name in SPACES}


def _tasks() -> dict[str, str]:
    from peftsearch.tasks.load import TASKS

    return {name: TASKS[name].description for name in TASKS}


def _task_formats() -> dict[str, str]:
    from peftsearch.tasks.format_entry import TASK_FORMATS

    return {name: TASK_FORMATS[name].description for name in TASK_FORMATS}


def _families() -> dict[str, str]:
    from peftsearch.models.family import FAMILIES

    return {n: f"{FAMILIES[n].description} (model types {', '.join(FAMILIES[n].model_types)})" for n in FAMILIES}


def _exports() -> dict[str, str]:
    from peftsearch.exports.export_format import FORMATS

    return {name: FORMATS[name].description for name in FORMATS}


LISTINGS: dict[str, Callable[[], dict[str, str]]] = {
    "methods": _methods,
    "kinds": _kinds,
    "spaces": _spaces,
    "tasks": _tasks,
    "task_formats": _task_formats,
    "families": _families,
    "exports": _exports,
}


def describe(what: str) -> str:
    """List the entries of one registry, a line each.

    Args:
        what: a key of `LISTINGS`.

    Raises:
        UnknownNameError: for another key.
    """
    if what not in LISTINGS:
        raise UnknownNameError("list", what, LISTINGS)
    entries = LISTINGS[what]()
    width = max(map(len, entries))
    return "\n".join(f"{name:{width}}  {text}" for name, text in entries.items())
