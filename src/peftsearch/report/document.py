"""Read a JSON document into frozen dataclasses, by the types of their fields."""

from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from peftsearch.settings import show

_PLAIN: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), dict: (dict,), bool: (bool,)}


def read_as(kind: Any, value: Any, name: str = "") -> Any:
    """Build an instance of a dataclass, or check a plain value.

    Fields that the document lacks take their defaults; keys without a field are left out.

    Args:
        kind: a dataclass, str, int, float, dict, Any, `X | None`, `tuple[X, ...]` or `dict[str, X]`.
        value: as `json.loads` gives it.
        name: of the value within the document, for messages.

    Raises:
        ValueError: for a field that is missing, or a value of another type.
    """
    if is_dataclass(kind):
        return _read_fields(kind, value, name)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else read_as(inner[0], value, name)
    if origin is tuple and isinstance(value, list):
        return tuple(read_as(inner[0], part, f"{name}[{i}]") for i, part in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: read_as(inner[1], part, _within(name, key)) for key, part in value.items()}
    if kind is Any or (isinstance(value, _PLAIN.get(kind, ())) and (kind is bool or not isinstance(value, bool))):
        return value
    raise ValueError(f"'{name}' is {show(value)}, but must be {getattr(origin or kind, '__name__', kind)}")


def _read_fields(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"'{name}' is {show(value)}, but must be a mapping" if name else "it is no mapping")
    types, found = get_type_hints(kind), {}
    for field in fields(kind):
        if field.name in value:
            found[field.name] = read_as(types[field.name], value[field.name], _within(name, field.name))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"it has no '{_within(name, field.name)}'")
    return kind(**found)


def _within(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
