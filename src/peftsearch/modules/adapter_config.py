"""`adapter_config.json`: what it holds, and what is refused in it.

peft's enum of methods is closed, so one member is added at run time; the rest goes through peft's public
`register_peft_method`, in tuner.py.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peft import PeftConfig
from peft.tuners.tuners_utils import DUMMY_TARGET_MODULES
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
    member._name_ = member._value_ = NAME
    member.__objclass__ = PeftType
    member._sort_order_ = len(PeftType._member_names_)
    PeftType._member_names_.append(NAME)
    PeftType._member_map_[NAME] = member
    PeftType._value2member_map_[NAME] = member
    type.__setattr__(PeftType, NAME, member)
    return member


PEFT_TYPE = _extend_peft_type()


@dataclass
class PeftSearchConfig(PeftConfig):
    """What `adapter_config.json` holds.

    Args:
        sites: exact module name -> kind -> rank.
        inputs: module name -> name of the module whose input the kinds that read a block's input take there.
        roles: module name -> role of the site, where a kind reads it.
        modules_to_save: names of modules that are trained and saved in full, such as the task head.
        init_weights: as in peft's other methods, False draws every tensor at random instead of starting at the base
            model; for tests.
        provenance: how the structure came about: method, budget, seed, versions. Nothing reads it.
        schema_version: of `sites`; a newer one than this release knows is refused.

    Raises:
        ConfigurationError: for sites of another form, unknown kinds, ranks below 1, an input or role that a kind
            needs and that is missing, or a newer schema.
    """

    sites: dict[str, dict[str, int]] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    bias: str = "none"
    init_weights: bool = True
    provenance: dict[str, Any] | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PEFT_TYPE
        check_schema_version(self.schema_version)
        _check_modules_to_save(self.modules_to_save)
        _check_sites(self.sites)
        _check_names("inputs", self.inputs, paths_of_kinds(self.sites, "reads_block_input"))
        _check_inputs(self.inputs)
        _check_names("roles", self.roles, paths_of_kinds(self.sites, "reads_role"))
        _check_roles(self.roles)
        # peft reads target_modules in several places; with no site at all (head only) it needs its dummy name.
        self.target_modules = set(self.sites) or DUMMY_TARGET_MODULES

    def to_dict(self) -> dict[str, Any]:
        """Plain data with sorted names, so that equal adapters write equal files."""
        document = super().to_dict()
        document["sites"] = {path: dict(sorted(ranks.items())) for path, ranks in sorted(self.sites.items())}
        document["inputs"] = dict(sorted(self.inputs.items()))
        document["roles"] = {path: str(role) for path, role in sorted(self.roles.items())}
        document["target_modules"] = sorted(self.sites) or DUMMY_TARGET_MODULES
        document["modules_to_save"] = sorted(set(self.modules_to_save or ())) or None
        return document

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """Write `adapter_config.json`, and our card over the one that peft has just written."""
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


def paths_of_kinds(sites: dict[str, dict[str, int]], property_name: str) -> set[str]:
    """Sites with a kind for which a class variable of `PeftModule` is true."""
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


# Packages that decide on the weights of an adapter.
_PACKAGES = ("peftsearch", "peft", "transformers", "torch")


def write_provenance(model: nn.Module, *, method: str, budget: int | None, seed: int) -> None:
    """Put method, budget, seed and versions into the configuration that `save_pretrained` writes.

    No time and no path, so that equal runs write equal files. The methods of peft itself have no place for it.
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
