"""What `peftsearch train` trains, from the name or the file that the user gave."""

from dataclasses import dataclass
from pathlib import Path

from peftsearch.errors import ConfigurationError
from peftsearch.methods.adalora.method import DEFAULT_RANK, Allocation, attention_sites
from peftsearch.methods.adalora.settings import AdaLoraSettings
from peftsearch.methods.design_spaces.method import ready_design
from peftsearch.methods.manual.method import (
    MANUAL_METHODS,
    ManualMethod,
    largest_uniform,
    largest_within,
    parse_roles,
    sites_for,
    uniform,
)
from peftsearch.methods.manual.settings import ManualSettings
from peftsearch.run.attachment import AdaLora, Attachment, FreshModules, WholeModel
from peftsearch.run.config import RunConfig
from peftsearch.run.folder import read_sites
from peftsearch.run.workspace import Scope
from peftsearch.searches.method import METHODS
from peftsearch.space import Configuration, Site
from peftsearch.space.encodings.design_spaces.designs import READY
from peftsearch.space.transfer import depths, require_sites, transfer


@dataclass(frozen=True)
class Recipe:
    """What is trained.

    Args:
        name: for the progress bar.
        attachment: how a model is made trainable.
        notes: what the user should know about it.
        method: that chose it; the name if empty.
        budget: that it was chosen for, in parameters; None without one.
    """

    name: str
    attachment: Attachment
    notes: tuple[str, ...] = ()
    method: str = ""
    budget: int | None = None


def choose_recipe(config: RunConfig, scope: Scope) -> Recipe:
    """A manual method by its name, or the configuration in a file or a run folder.

    Raises:
        ConfigurationError: if neither fits the model.
        BudgetError: if the budget holds none of it.
    """
    name = config.configuration or config.method_name
    if name == "full":
        return Recipe(name, WholeModel())
    if name == "head":
        return Recipe(name, FreshModules(Configuration()))
    if name == "adalora":
        return Recipe(name, _adalora(config, scope))
    if name in READY:
        return Recipe(name, FreshModules(_ready(name, scope)))
    if name in MANUAL_METHODS:
        return _manual(name, config, scope)
    path = Path(name)
    if name in METHODS and not path.exists():
        raise ConfigurationError(
            f"'{name}' searches. Use `peftsearch search --method {name}`, or give --configuration a manual method, a "
            "file or a run folder."
        )
    return _from_run(path, scope) if path.is_dir() else _from_file(path, scope)


def _from_file(path: Path, scope: Scope) -> Recipe:
    configuration = Configuration.load(path)
    require_sites(configuration, scope.sites)
    return Recipe("configuration", FreshModules(configuration))


def _from_run(run: Path, scope: Scope) -> Recipe:
    """The configuration of a run, transferred if its model has another depth."""
    configuration = Configuration.load(run / "configuration.json")
    if not (run / "sites.json").is_file():
        return _from_file(run / "configuration.json", scope)
    source, target = depths(read_sites(run / "sites.json")), depths(scope.sites)
    transferred = transfer(configuration, source, scope.sites)
    if all(source[stack] == target[stack] for stack in source.keys() & target.keys()):
        return Recipe("configuration", FreshModules(transferred))
    return Recipe("configuration", FreshModules(transferred), (_transferred(run, source, target),))


def _transferred(run: Path, source: dict[str, int], target: dict[str, int]) -> str:
    stacks = sorted(stack for stack in source.keys() & target.keys() if source[stack] != target[stack])
    changes = ", ".join(f"{stack}: {source[stack]} to {target[stack]} layers" for stack in stacks)
    return (
        f"The configuration was transferred from '{run.resolve().name}' ({changes}): each layer takes the modules of "
        "the layer at the same relative height."
    )


def _manual(name: str, config: RunConfig, scope: Scope) -> Recipe:
    method, budget = MANUAL_METHODS[name], _budget(scope)
    settings = config.method if isinstance(config.method, ManualSettings) else ManualSettings()
    roles = parse_roles(settings.roles)
    if budget is None or settings.rank:
        found = uniform(method.kind, sites=scope.sites, rank=settings.rank or method.rank, roles=roles or method.roles)
        return Recipe(name, FreshModules(found))
    if roles:
        return Recipe(name, FreshModules(largest_uniform(method.kind, sites=scope.sites, budget=budget, roles=roles)))
    found = largest_within(method.kind, sites=scope.sites, budget=budget, roles=method.roles)
    return Recipe(name, FreshModules(found), _left_out(name, method, found, scope))


def _left_out(name: str, method: ManualMethod, found: Configuration, scope: Scope) -> tuple[str, ...]:
    """Say so where the budget left sites without a module."""
    everywhere = sites_for(method.kind, scope.sites, method.roles)
    if len(found) == len(everywhere):
        return ()
    return (
        f"The budget of {_budget(scope):,} parameters does not hold {name} in every layer: {len(found)} of "
        f"{len(everywhere)} modules were placed, from the top layer down to {_lowest(found, everywhere)}.",
    )


def _lowest(found: Configuration, sites: list[Site]) -> str:
    chosen = {choice.site for choice in found}
    lowest = min((site for site in sites if site.name in chosen), key=lambda site: site.layer)
    return f"'{lowest.name}'"


def _ready(name: str, scope: Scope) -> Configuration:
    smallest = min(scope.usable_budgets().values(), default=None)
    return ready_design(name, scope.make_encoding().within(smallest) if smallest else None)


def _adalora(config: RunConfig, scope: Scope) -> AdaLora:
    settings = config.method if isinstance(config.method, AdaLoraSettings) else AdaLoraSettings()
    roles, budget = parse_roles(settings.roles), _budget(scope)
    sites = sites_for("lora", scope.sites, roles) if roles else attention_sites(scope.sites)
    if budget is None or settings.rank:
        return AdaLora(Allocation.of_mean(sites, settings.rank or DEFAULT_RANK), settings)
    return AdaLora(Allocation.within(sites, budget), settings)


def _budget(scope: Scope) -> int | None:
    return min(scope.budgets.values(), default=None)
