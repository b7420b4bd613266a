"""Compute sites, space and budgets of a model from its configuration alone, before a search."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from peftsearch.exports.outlook import describe_space
from peftsearch.models.discover import find_sites
from peftsearch.models.head_class import missing_class_note
from peftsearch.models.left_out import left_out_note
from peftsearch.models.load import sketch_model
from peftsearch.models.loading import IN_FULL
from peftsearch.models.quantisation import find_quantised, quantisation_of, quantised_note, quantization_on_disk
from peftsearch.modules.costs import cost_beside, needs_float_note
from peftsearch.names import split_names
from peftsearch.run.memory import USUAL, Batches, Memory, estimate_memory, in_gib
from peftsearch.run.uses import uses_of
from peftsearch.space import SPACES, Budget, Choice, SearchSpace
from peftsearch.space.presets import DEFAULT_SPACE

if TYPE_CHECKING:
    from rich.table import Table

_PARTS = ("weights", "modules", "gradients", "optimizer", "activations")


@dataclass(frozen=True)
class Plan:
    """Sizes of a model, a space and a budget.

    Args:
        model: as the user named it.
        space: name of the search space.
        backbone_parameters: parameters without the task head.
        sites: "stack role" -> number of layers that have it.
        modules: placements of the space.
        modules_by_kind: the same by kind.
        supernet_parameters: parameters with every module at its largest rank.
        supernet_parameters_by_rank: parameters with every ranked module at one rank.
        smallest_module: parameters of the cheapest choice.
        budget_parameters: parameters of the (smallest) budget, None without one.
        budgets: requested text -> parameters.
        result: whether a search's result is plain LoRA, mergeable and servable, whatever it finds.
        memory: bytes that a training and searches need; None where they were not estimated.
        notes: sentences on parts of the model at which no module can stand, and on a head that is missing.
    """

    model: str
    space: str
    backbone_parameters: int
    sites: dict[str, int]
    modules: int
    modules_by_kind: dict[str, int]
    supernet_parameters: int
    supernet_parameters_by_rank: dict[int, int]
    smallest_module: int
    budget_parameters: int | None
    budgets: dict[str, int]
    result: str
    memory: Memory | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        document = asdict(self)
        for name, need in self.memory.needs.items() if self.memory else ():
            document["memory"]["needs"][name]["total"] = need.total
        return document


def plan(
    model: str, *, space: str = DEFAULT_SPACE, budget: str | int | None = None, batches: Batches | None = USUAL
) -> Plan:
    """Find sites, space and budget of a model without loading weights.

    Args:
        model: "demo", a folder that may hold config.json alone, a .gguf file or a hub id.
        space: name of a search space.
        budget: budgets, comma-separated; None for none.
        batches: whose memory is estimated, and how the model is loaded; None to estimate nothing.

    Raises:
        UnknownNameError, ModelError, SiteError, BudgetError: as a search would.

    Example:
        plan("demo", budget="0.5%").budget_parameters
    """
    preset = SPACES[space]
    texts = [] if budget is None else split_names(str(budget))
    budgets = {text: Budget.parse(text) for text in texts}
    sketch = sketch_model(model)
    sites = find_sites(sketch.model)
    quantization = quantisation_of(sketch.model.config, batches.loading if batches else IN_FULL)
    quantised = find_quantised(sketch.model, sites, quantization)
    kept_packed = quantised if quantization_on_disk(sketch.model.config) else ()
    search_space = SearchSpace.build(preset, sites=sites, cost=cost_beside(quantised))
    sizes = {text: parsed.parameters(sketch.backbone_parameters) for text, parsed in budgets.items()}
    for parameters in sizes.values():
        search_space.check_budget(parameters)
    smallest = min(sizes.values(), default=None)
    return Plan(
        model=model,
        space=space,
        backbone_parameters=sketch.backbone_parameters,
        sites=dict(Counter(f"{site.stack} {site.role}" for site in sites)),
        modules=len(search_space.ranks),
        modules_by_kind=search_space.largest.num_modules_by_kind(),
        supernet_parameters=search_space.cost(search_space.largest),
        supernet_parameters_by_rank={rank: _cost_at(search_space, rank) for rank in preset.ranks},
        smallest_module=search_space.cost_of(search_space.cheapest),
        budget_parameters=smallest,
        budgets=sizes,
        result=describe_space(search_space.largest, sites, kept_packed),
        memory=batches and estimate_memory(sketch, sites, uses_of(search_space, sites, smallest), batches=batches),
        notes=(
            *quantised_note(quantization, num_quantised=len(quantised), num_sites=len(sites)),
            *needs_float_note(preset, sites=sites, quantised=quantised),
            *left_out_note(sketch.model, sites, sketch.backbone_parameters),
            *missing_class_note(sketch.model.config),
        ),
    )


def _cost_at(space: SearchSpace, rank: int) -> int:
    """Parameters with every placement at `rank`, or at its only rank."""
    return space.cost(Choice(p.site, p.kind, rank if rank in ranks else 1) for p, ranks in space.ranks.items())


def _memory_table(memory: Memory) -> "Table":
    from rich.table import Table

    batches, (device, size) = memory.batches, memory.device
    title = f"memory with {batches.size} x {batches.tokens} tokens; {device} has {in_gib(size)}"
    table = Table("", *memory.needs, title=title)
    for part in (*_PARTS, "total"):
        found = [getattr(need, part) for need in memory.needs.values()]
        table.add_row(part, *("unknown" if each is None else in_gib(each) for each in found))
    return table


def print_plan(found: Plan) -> None:
    """Print a plan as tables and a sentence."""
    from rich.table import Table

    from peftsearch.console import PipedConsole

    console = PipedConsole()
    sites = Table("site", "layers", title=f"{found.model}: {found.backbone_parameters:,} backbone parameters")
    for name, count in sorted(found.sites.items()):
        sites.add_row(name, str(count))
    console.print(sites)
    sizes = Table("what", "value", title=f"space {found.space}: {found.modules} modules")
    for kind, count in found.modules_by_kind.items():
        sizes.add_row(f"{kind} modules", f"{count:,}")
    for rank, parameters in found.supernet_parameters_by_rank.items():
        sizes.add_row(f"supernet at rank {rank}", f"{parameters:,} parameters")
    sizes.add_row("smallest module", f"{found.smallest_module:,} parameters")
    for text, parameters in found.budgets.items():
        sizes.add_row(
            f"budget {text}", f"{parameters:,} parameters, {parameters / found.supernet_parameters:.2%} of it"
        )
    console.print(sizes)
    if found.memory:
        console.print(_memory_table(found.memory))
        for sentence in found.memory.advice:
            console.print(sentence)
    console.print(f"The result of a search is {found.result}.")
    for note in found.notes:
        console.print(note)
