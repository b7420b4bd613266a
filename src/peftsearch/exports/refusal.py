"""One wording for an export that cannot be exact."""

from collections.abc import Mapping

from peftsearch.errors import ExportError

# Sites named for each reason; the rest is counted.
_NAMED = 6


def refuse(what: str, reasons: Mapping[str, str], *, instead: str) -> None:
    """Raise if anything prevents an export.

    Args:
        what: such as "a plain LoRA adapter".
        reasons: place in the model -> what stands there and why that prevents it.
        instead: what to do.

    Raises:
        ExportError: naming the reasons with their sites, unless there are none.
    """
    if not reasons:
        return
    by_reason: dict[str, list[str]] = {}
    for path, reason in reasons.items():
        by_reason.setdefault(reason, []).append(path)
    listed = "; ".join(f"{reason}, at {_some(paths)}" for reason, paths in sorted(by_reason.items()))
    raise ExportError(f"This configuration cannot become {what}: {listed}. {instead}")


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{len(paths)} site(s): {', '.join(paths[:_NAMED])}{more}"
