"""What files of the `datasets` library and of Arrow keep otherwise than a row means it: classes, and absent keys."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Where `datasets` keeps the types of the columns in a parquet file's metadata.
_METADATA = b"huggingface"
# The class of a row that has none.
_NO_CLASS = -1


def features_of(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """The types of the columns that `datasets` wrote into a parquet file's metadata; empty where it wrote none."""
    try:
        return json.loads((metadata or {}).get(_METADATA, b"{}"))["info"]["features"] or {}
    except (ValueError, KeyError, TypeError):
        return {}


def as_meant(rows: Iterable[Mapping[str, Any]], features: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows as they were before they were stored: classes by their names, and objects without keys they never had.

    A class of -1 is a gap. Arrow gives all objects of a column the same keys, null where one has no value; a null of
    the row itself stays.

    Args:
        rows: as the library gives them.
        features: column -> its type, as `datasets.Features.to_dict` writes it.
    """
    names = {column: found for column, feature in features.items() if (found := _class_names(feature))}
    return [
        {
            column: _named(value, names[column]) if column in names else _without_nulls(value)
            for column, value in row.items()
        }
        for row in rows
    ]


def _class_names(feature: Any) -> Sequence[str]:
    """The names of the classes of a column, or of the lists in it; empty for other columns."""
    if isinstance(feature, list):
        return _class_names(feature[0]) if len(feature) == 1 else ()
    if not isinstance(feature, Mapping):
        return ()
    if feature.get("_type") == "ClassLabel":
        return feature.get("names") or ()
    return _class_names(feature.get("feature"))


def _named(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    if value == _NO_CLASS:
        return None
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
