"""Count the parameters of a model's blocks that no module can reach, so that nothing is left out in silence."""

from collections import Counter
from collections.abc import Iterable

from torch import nn

from peftsearch.models.role_names import is_expert
from peftsearch.space import Site

EXPERTS = "routed experts"
OTHER_MAPS = "maps without a role"
OTHER_PARTS = "parts without sites"


def left_out(model: nn.Module, sites: Iterable[Site]) -> dict[str, int]:
    """Count the weights of matrices in a model's blocks at which no module can stand.

    Args:
        model: on any device.
        sites: every site of the model.

    Returns:
        "routed experts" (between which a router chooses; their weights are fused over the experts), "maps without a
        role" (such as a router, or maps of relative positions) and "parts without sites" (such as the vision tower of
        a model that reads text) -> number of parameters; without what there is none of. Embeddings, vectors and what
        stands outside of blocks, such as a pooler, do not count.
    """
    paths = {site.path for site in sites}
    lists = {_list_of(path) for path in paths}
    found: Counter[str] = Counter()
    for path, module in model.named_modules():
        own = _list_of(path)
        if own and path not in paths and not isinstance(module, nn.Embedding):
            what = EXPERTS if _is_expert(path, module) else OTHER_MAPS if own in lists else OTHER_PARTS
            found[what] += sum(p.numel() for p in module.parameters(recurse=False) if p.dim() > 1)
    return {what: number for what, number in sorted(found.items()) if number}


def _is_expert(path: str, module: nn.Module) -> bool:
    return is_expert(path) or is_expert(type(module).__name__)


def _list_of(path: str) -> str:
    """Find the outermost list that holds a module: "model.layers" for "model.layers.3.mlp"; "" for none."""
    before: list[str] = []
    for part in path.split("."):
        if part.isdigit():
            return ".".join(before)
        before.append(part)
    return ""


def left_out_note(model: nn.Module, sites: Iterable[Site], backbone_parameters: int) -> tuple[str, ...]:
    """Say in a sentence for the user what is left out; no sentence for nothing.

    Args:
        model: on any device.
        sites: every site of the model.
        backbone_parameters: of the model without its head.
    """
    parts = [
        f"{what} ({number:,} parameters, {number / backbone_parameters:.1%} of the backbone)"
        for what, number in left_out(model, sites).items()
    ]
    return (f"No module can stand at {', '.join(parts)}: they stay as they are.",) if parts else ()
