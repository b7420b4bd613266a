"""The splits of the user's tables: as given, or drawn where files leave them open."""

from collections.abc import Sequence

from peftsearch.tasks.splits import Splits, split_groups, split_one, split_small
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example


def draw_splits(
    parts: Sequence[list[Example]], strata: Sequence[object], *, group: str | None, seed: int, by: str = "class"
) -> Splits:
    """Draw the splits that the files leave open; rows of a group stay on one side.

    One table is split 80/10/10. Of two tables, the second is halved into validation and test. Three are used as given.

    Args:
        parts: the examples of each table.
        strata: the class of each example of the last table; the same value for all where there are none.
        group: the column of the groups, for errors; None without any.
        seed: of the draw.
        by: what the strata are, in words; empty where there are none.
    """
    if len(parts) == 3:
        return Splits(dict(zip((TRAIN, VALIDATION, TEST), parts)), "three files as given")
    if group:
        return split_groups(parts, strata, column=group, seed=seed, by=by)
    return split_one(parts[0], strata, seed=seed, by=by) if len(parts) == 1 else split_small(*parts, seed=seed)
