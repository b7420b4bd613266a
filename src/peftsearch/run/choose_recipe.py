"""Choose the recipe of `peftsearch train`, from the name of a method, a file or a run folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from peftsearch.errors import BudgetError, ConfigurationError, UnknownNameError
from peftsearch.methods.adalora.method import DEFAULT_RANK, RankAllocation, attention_sites
from peftsearch.methods.adalora.settings import AdaLoraSettings
from peftsearch.methods.design_spaces.method import ready_design
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS, ManualMethod
from peftsearch.methods.manual.method import describe_left_out, parse_roles, place, place_within, sites_for
from peftsearch.methods.manual.settings import ManualSettings
from peftsearch.modules.costs import cost
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_sites
from peftsearch.run.inherited_recipe import inherit_from
from peftsearch.run.recipe import AdaLora, FreshModules, Recipe, WholeModel
from peftsearch.searches.method import METHODS, MethodSettings
from peftsearch.space import Configuration, Role, Site
from peftsearch.space.encodings.design_spaces.designs import READY
from peftsearch.space.transfer import depths, require_sites, transfer


def recipe_of(config: RunConfig, experiment: Experiment) -> Recipe:
    """Make the recipe that `peftsearch train` is asked for.

    Raises:
        ConfigurationError: if it does not fit the model, or there is nothing to inherit from.
        BudgetError: if the budget holds none of it.
    """
    if not config.inherit:
        return choose_recipe(config.configuration or config.method_name, config.method, experiment)
    if not config.configuration:
        raise ConfigurationError(
            "--inherit needs a run whose weights are inherited. Give its folder as --configuration."
        )
    return inherit_from(Path(config.configuration), experiment)


def choose_recipe(name: str, settings: MethodSettings, experiment: Experiment) -> Recipe:
    """Make the recipe of a manual method, or of the configuration in a file or a run folder.

    Args:
        name: of a manual method, of a file or of a run folder.
        settings: of the manual method; settings of another method are ignored.
        experiment: gives sites and budget.

    Raises:
        ConfigurationError: if neither fits the model.
        UnknownNameError: for a name that is none of these.
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
    if not path.exists() and path.name == name and not path.suffix:
        raise UnknownNameError("manual method", name, {*MANUAL_METHODS, *READY, "full", "head", "adalora"})
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
    settings = settings if isinstance(settings, ManualSettings) else ManualSettings()
    method, budget, sites = MANUAL_METHODS[name], experiment.smallest_budget, experiment.sites
    roles = parse_roles(settings.roles)
    if roles:
        method = _at_roles(method, roles, sites)
    if budget is None or settings.rank:
        return FreshModules(name, configuration=place(method, sites, rank=settings.rank or method.rank))
    if roles:
        _require_everywhere(name, method, sites, budget)
    return fill_budget(name, method, sites=sites, budget=budget)


def fill_budget(name: str, method: ManualMethod, *, sites: Sequence[Site], budget: int) -> FreshModules:
    """Make the recipe of a manual method that uses as much of a budget as it can.

    Args:
        name: of the method.
        method: with the roles that are wanted.
        sites: of the model.
        budget: in parameters.

    Returns:
        the recipe, with a note if the budget left sites without a module.

    Raises:
        BudgetError: if no single module fits.
    """
    found = place_within(method, sites, budget=budget)
    left_out = describe_left_out(method, found, sites)
    note = f"The budget of {budget:,} parameters does not hold {name} in every layer: {left_out}."
    return FreshModules(name, notes=(note,) if left_out else (), configuration=found)


def _at_roles(method: ManualMethod, roles: frozenset[Role], sites: Sequence[Site]) -> ManualMethod:
    """Move the last part of a manual method, its LoRA if it has several, to the roles that the user gives."""
    *others, last = method.parts
    sites_for(last.kind, sites, roles)
    return replace(method, parts=(*others, replace(last, roles=(roles,))))


def _require_everywhere(name: str, method: ManualMethod, sites: Sequence[Site], budget: int) -> None:
    """Refuse a budget below rank 1 everywhere, where the user said where."""
    needed = cost(place(method, sites, rank=1), sites)
    if needed > budget:
        raise BudgetError(
            f"{name} at these roles needs at least {needed:,} parameters, but the budget is {budget:,}. "
            "Raise the budget or give fewer --roles."
        )


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
