"""The error of an export that would not be exact."""

from collections.abc import Callable, Mapping

from torch import nn

from peftsearch.errors import ExportError
from peftsearch.exports.source import Source
from peftsearch.modules.peft_module import PeftModule

# (module, its base layer) -> why a format cannot hold the module; None if it can.
WhyNot = Callable[[PeftModule, nn.Module], str | None]

# Sites that are named for each reason; the others are counted.
_NAMED = 6


def reasons_against(source: Source, why_not: WhyNot) -> dict[str, str]:
    """Ask every module of an adapter why it prevents an export.

    Args:
        source: the model, which may be on the meta device.
        why_not: asks one module.

    Returns:
        layer of the model -> the kind there, and its reason: what `refuse` takes.
    """
    return {
        path: f"{kind} ({reason})"
        for path, layer in source.layers()
        for kind, module in layer.modules_of(source.adapter).items()
        if (reason := why_not(module, layer.get_base_layer()))
    }


def refuse(what: str, reasons: Mapping[str, str], *, instead: str) -> None:
    """Raise an error if there is any reason against an export.

    Args:
        what: the export, such as "a plain LoRA adapter".
        reasons: layer of the model -> the kind there, and why it prevents the export.
        instead: advice on what to do instead.

    Raises:
        ExportError: with every reason and its layers, if there are reasons.
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
