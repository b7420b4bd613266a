"""The configuration of an adapter, `adapter_config.json`, and its checks.

peft's enum of methods is closed, so one member is added at run time. All else is registered by peft's public
`register_peft_method`, in tuner.py.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peft import PeftConfig
from peft.utils.constants import DUMMY_TARGET_MODULES
from peft.utils.peft_types import PeftType
from torch import nn

from peftsearch.environment import versions
from peftsearch.errors import ConfigurationError
from peftsearch.modules.adapter_card import rewrite_card
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Role
from peftsearch.space.configuration import SCHEMA_VERSION, check_schema_version

NAME = "PEFTSEARCH"


def _extend_peft_type() -> PeftType:
    """Add the member PEFTSEARCH to peft's closed enum; a second call changes nothing."""
    if NAME in PeftType.__members__:
        return PeftType[NAME]
    member = str.__new__(PeftType, NAME)
    number = len(PeftType._member_names_)
    vars(member).update(_name_=NAME, _value_=NAME, __objclass__=PeftType, _sort_order_=number)
    PeftType._member_names_.append(NAME)
    PeftType._member_map_[NAME] = member
    PeftType._value2member_map_[NAME] = member
    type.__setattr__(PeftType, NAME, member)
    return member


PEFT_TYPE = _extend_peft_type()


@dataclass
class PeftSearchConfig(PeftConfig):
    """The configuration of an adapter, saved as `adapter_config.json`.

    Args:
        sites: exact module name -> kind -> rank.
        inputs: module name -> name of the module that reads the block's input, for kinds that need that input.
        roles: module name -> role of the site, for kinds that need the role.
        target_modules: derived from `sites`; a value that is given is replaced.
        exclude_modules: always None; peft's tuner reads the field.
        modules_to_save: names of modules that are trained and saved in full, such as the task head.
        trainable_token_indices: name of a layer of embeddings, or of the next token -> numbers of those tokens
            whose rows are trained and saved; None for none.
        bias: always "none"; peft's tuner reads the field.
        init_weights: False draws every tensor at random, so that the adapter changes the output at once, as in peft's
            other methods; for tests.
        provenance: method, budget, seed and versions that led to the adapter; a record that no code reads.
        schema_version: version of the form of `sites`; one newer than this release knows is refused.

    Raises:
        ConfigurationError: for sites of another form, ranks below 1, an input or role that is missing or that no kind
            needs, or a newer schema.
        UnknownNameError: for a kind that is not registered.
    """

    sites: dict[str, dict[str, int]] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    target_modules: list[str] | set[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    trainable_token_indices: dict[str, list[int]] | None = None
    bias: str = "none"
    init_weights: bool = True
    provenance: dict[str, Any] | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Check all fields and derive the target modules."""
        super().__post_init__()
        self.peft_type = PEFT_TYPE
        check_schema_version(self.schema_version)
        _check_modules_to_save(self.modules_to_save)
        _check_token_indices(self.trainable_token_indices)
        _check_sites(self.sites)
        _check_names("inputs", self.inputs, paths_of_kinds(self.sites, "reads_block_input"))
        _check_inputs(self.inputs)
        _check_names("roles", self.roles, paths_of_kinds(self.sites, "reads_role"))
        _check_roles(self.roles)
        # peft reads target_modules in several places; without sites (head only) it needs its dummy name.
        self.target_modules = set(self.sites) or DUMMY_TARGET_MODULES

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data with sorted names, so that equal adapters write equal files."""
        document = super().to_dict()
        document["sites"] = {path: dict(sorted(ranks.items())) for path, ranks in sorted(self.sites.items())}
        document["inputs"] = dict(sorted(self.inputs.items()))
        document["roles"] = {path: str(role) for path, role in sorted(self.roles.items())}
        document["target_modules"] = sorted(self.sites) or DUMMY_TARGET_MODULES
        document["modules_to_save"] = sorted(set(self.modules_to_save or ())) or None
        return document

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """Write `adapter_config.json`, and replace the card that peft has written before."""
        super().save_pretrained(save_directory, **kwargs)
        rewrite_card(Path(save_directory), self.sites, self.base_model_name_or_path)


def _check_sites(sites: Any) -> None:
    if not isinstance(sites, dict):
        raise ConfigurationError(f"'sites' must map module names to kinds and ranks, found {sites!r:.200}.")
    for path, ranks in sites.items():
        if not isinstance(ranks, dict) or not ranks:
            raise ConfigurationError(f"The site '{path}' must map kinds to ranks, found {ranks!r:.200}.")
        for kind, rank in ranks.items():
            if type(rank) is not int or rank < 1:
                raise ConfigurationError(f"Rank {rank!r:.50} of {kind} at '{path}' must be a whole number from 1.")
            KINDS[kind]


def _check_modules_to_save(names: Any) -> None:
    is_names = isinstance(names, list | tuple | set) and all(isinstance(name, str) for name in names)
    if names is not None and not is_names:
        raise ConfigurationError(f"'modules_to_save' must be a list of module names, found {names!r:.200}.")


def _check_token_indices(indices: Any) -> None:
    is_mapping = isinstance(indices, dict) and all(isinstance(name, str) for name in indices)
    if indices is not None and not (is_mapping and all(map(_are_token_indices, indices.values()))):
        raise ConfigurationError(
            f"'trainable_token_indices' must map names of layers to lists of tokens' numbers, found {indices!r:.200}."
        )


def _are_token_indices(found: Any) -> bool:
    return isinstance(found, list) and all(type(index) is int and index >= 0 for index in found)


def paths_of_kinds(sites: dict[str, dict[str, int]], property_name: str) -> set[str]:
    """Find the sites with a kind for which a class variable of `PeftModule`, such as `reads_role`, is true."""
    return {path for path, ranks in sites.items() if any(getattr(KINDS[kind], property_name) for kind in ranks)}


def _check_names(field_name: str, names: Any, needed: set[str]) -> None:
    if not isinstance(names, dict) or not all(isinstance(text, str) for pair in names.items() for text in pair):
        raise ConfigurationError(f"'{field_name}' must map module names to names, found {names!r:.200}.")
    if names.keys() != needed:
        wrong = min(names.keys() ^ needed)
        problem = "lacks" if wrong in needed else "has an entry that no kind reads for"
        raise ConfigurationError(f"'{field_name}' {problem} the site '{wrong}'.")


def _check_inputs(inputs: dict[str, str]) -> None:
    for path, other in inputs.items():
        if path == other:
            raise ConfigurationError(f"'inputs' gives '{path}' itself; name the layer that reads the block's input.")


def _check_roles(roles: dict[str, str]) -> None:
    for path, role in roles.items():
        if role not in set(Role):
            raise ConfigurationError(f"'roles' gives '{path}' the role '{role}'; known: {', '.join(Role)}.")


# Packages whose versions influence the weights of an adapter.
_PACKAGES = ("peftsearch", "peft", "transformers", "torch")


def write_provenance(model: nn.Module, *, method: str, budget: int | None, seed: int) -> None:
    """Record method, budget, seed and versions in the configuration that `save_pretrained` writes.

    Times and paths are left out, so that equal runs write equal files. Adapters of peft's own methods have no field
    for it and are left as they are.

    Args:
        model: a `PeftModel`; any other model is left as it is.
        method: name of the search method.
        budget: parameters, head excluded; None for no budget.
        seed: of the run.
    """
    found = versions()
    for config in getattr(model, "peft_config", {}).values():
        if isinstance(config, PeftSearchConfig):
            config.provenance = {
                "method": method,
                "budget": budget,
                "seed": seed,
                "versions": {package: found[package] for package in _PACKAGES},
            }
