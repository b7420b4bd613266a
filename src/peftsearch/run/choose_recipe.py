"""Choose the recipe of `peftsearch train`, from the name of a method, a file or a run folder."""

from pathlib import Path

from peftsearch.errors import ConfigurationError
from peftsearch.methods.adalora.method import DEFAULT_RANK, RankAllocation, attention_sites
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
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_sites
from peftsearch.run.recipe import AdaLora, FreshModules, Recipe, WholeModel
from peftsearch.searches.method import METHODS, MethodSettings
from peftsearch.space import Configuration, Site
from peftsearch.space.encodings.design_spaces.designs import READY
from peftsearch.space.transfer import depths, require_sites, transfer


def choose_recipe(name: str, settings: MethodSettings, experiment: Experiment) -> Recipe:
    """Make the recipe of a manual method, or of the configuration in a file or a run folder.

    Args:
        name: of a manual method, of a file or of a run folder.
        settings: of the manual method; settings of another method are ignored.
        experiment: gives sites and budget.

    Raises:
        ConfigurationError: if neither fits the model.
        BudgetError: if the budget holds none of it.
    """
    if name == "full":
        return WholeModel(name)
    if name == "head":
        return FreshModules(name, configuration=Configuration())
    if name == "adalora":
        return _adalora(name, settings, experiment)
    if name in READY:
        return FreshModules(name, configuration=_ready(name, experiment))
    if name in MANUAL_METHODS:
        return _manual(name, settings, experiment)
    path = Path(name)
    if name in METHODS and not path.exists():
        raise ConfigurationError(
            f"'{name}' searches. Use `peftsearch search --method {name}`, or give --configuration a manual method, a "
            "file or a run folder."
        )
    return _from_run(path, experiment) if path.is_dir() else _from_file(path, experiment)


def _from_file(path: Path, experiment: Experiment) -> Recipe:
    configuration = Configuration.load(path)
    require_sites(configuration, experiment.sites)
    return FreshModules("configuration", configuration=configuration)


def _from_run(run: Path, experiment: Experiment) -> Recipe:
    """The configuration of a run, transferred if its model has another depth."""
    configuration = Configuration.load(run / "configuration.json")
    if not (run / "sites.json").is_file():
        return _from_file(run / "configuration.json", experiment)
    source, target = depths(read_sites(run / "sites.json")), depths(experiment.sites)
    transferred = transfer(configuration, source, experiment.sites)
    if all(source[stack] == target[stack] for stack in source.keys() & target.keys()):
        return FreshModules("configuration", configuration=transferred)
    return FreshModules("configuration", notes=(_transferred(run, source, target),), configuration=transferred)


def _transferred(run: Path, source: dict[str, int], target: dict[str, int]) -> str:
    stacks = sorted(stack for stack in source.keys() & target.keys() if source[stack] != target[stack])
    changes = ", ".join(f"{stack}: {source[stack]} to {target[stack]} layers" for stack in stacks)
    return (
        f"The configuration was transferred from '{run.resolve().name}' ({changes}): each layer takes the modules of "
        "the layer at the same relative height."
    )


def _manual(name: str, settings: MethodSettings, experiment: Experiment) -> Recipe:
    method, budget = MANUAL_METHODS[name], experiment.smallest_budget
    settings = settings if isinstance(settings, ManualSettings) else ManualSettings()
    roles = parse_roles(settings.roles)
    if budget is None or settings.rank:
        found = uniform(
            method.kind, sites=experiment.sites, rank=settings.rank or method.rank, roles=roles or method.roles
        )
        return FreshModules(name, configuration=found)
    if roles:
        found = largest_uniform(method.kind, sites=experiment.sites, budget=budget, roles=roles)
        return FreshModules(name, configuration=found)
    found = largest_within(method.kind, sites=experiment.sites, budget=budget, roles=method.roles)
    return FreshModules(name, notes=_left_out(name, method, found, experiment), configuration=found)


def _left_out(name: str, method: ManualMethod, found: Configuration, experiment: Experiment) -> tuple[str, ...]:
    """A note for the user, if the budget left sites without a module."""
    everywhere = sites_for(method.kind, experiment.sites, method.roles)
    if len(found) == len(everywhere):
        return ()
    return (
        f"The budget of {experiment.smallest_budget:,} parameters does not hold {name} in every layer: {len(found)} "
        f"of {len(everywhere)} modules were placed, from the top layer down to {_lowest(found, everywhere)}.",
    )


def _lowest(found: Configuration, sites: list[Site]) -> str:
    chosen = {choice.site for choice in found}
    lowest = min((site for site in sites if site.name in chosen), key=lambda site: site.layer)
    return f"'{lowest.name}'"


def _ready(name: str, experiment: Experiment) -> Configuration:
    smallest = min(experiment.usable_budgets().values(), default=None)
    return ready_design(name, experiment.make_encoding().within(smallest) if smallest else None)


def _adalora(name: str, settings: MethodSettings, experiment: Experiment) -> AdaLora:
    settings = settings if isinstance(settings, AdaLoraSettings) else AdaLoraSettings()
    roles, budget = parse_roles(settings.roles), experiment.smallest_budget
    sites = sites_for("lora", experiment.sites, roles) if roles else attention_sites(experiment.sites)
    if budget is None or settings.rank:
        allocation = RankAllocation.of_mean(sites, settings.rank or DEFAULT_RANK)
        return AdaLora(name, allocation=allocation, settings=settings)
    return AdaLora(name, allocation=RankAllocation.within(sites, budget), settings=settings)
