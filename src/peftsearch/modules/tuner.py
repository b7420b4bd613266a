"""The peft method "peftsearch": a different set of modules at each site, in one adapter that peft loads.

Importing this file registers the method. peft's enum of methods is closed, so one member is added at run time; the
rest goes through peft's public `register_peft_method`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import DUMMY_TARGET_MODULES, BaseTuner
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType
from torch import nn

from peftsearch.errors import ConfigurationError, MergeError, ModelError
from peftsearch.modules.adapted_layer import PREFIX, AdaptedLayer
from peftsearch.modules.adapter_card import rewrite_card
from peftsearch.modules.attention import choose_attention
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Role
from peftsearch.space.configuration import SCHEMA_VERSION, check_schema_version

_NAME = "PEFTSEARCH"


def _extend_peft_type() -> PeftType:
    """Add the member PEFTSEARCH to peft's closed enum; a second call changes nothing."""
    if _NAME in PeftType.__members__:
        return PeftType[_NAME]
    member = str.__new__(PeftType, _NAME)
    member._name_ = member._value_ = _NAME
    member.__objclass__ = PeftType
    member._sort_order_ = len(PeftType._member_names_)
    PeftType._member_names_.append(_NAME)
    PeftType._member_map_[_NAME] = member
    PeftType._value2member_map_[_NAME] = member
    type.__setattr__(PeftType, _NAME, member)
    return member


_PEFT_TYPE = _extend_peft_type()


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
        self.peft_type = _PEFT_TYPE
        check_schema_version(self.schema_version)
        _check_sites(self.sites)
        _check_names("inputs", self.inputs, _paths_of_kinds(self.sites, "reads_block_input"))
        _check_inputs(self.inputs)
        _check_names("roles", self.roles, _paths_of_kinds(self.sites, "reads_role"))
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

    def save_pretrained(self, save_directory: str, **options: Any) -> None:
        """Write `adapter_config.json`, and our card over the one that peft has just written."""
        super().save_pretrained(save_directory, **options)
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


def _paths_of_kinds(sites: dict[str, dict[str, int]], property_name: str) -> set[str]:
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


class PeftSearchModel(BaseTuner):
    """peft's view of a configuration: which layers to wrap, and what to refuse when merging."""

    prefix = PREFIX
    tuner_layer_cls = AdaptedLayer
    target_module_mapping: dict[str, list[str]] = {}

    @staticmethod
    def _check_target_module_exists(peft_config: PeftSearchConfig, key: str) -> bool:
        return key in peft_config.sites

    def _prepare_model(self, peft_config: PeftSearchConfig, model: nn.Module) -> None:
        """Refuse sites that the model lacks, before anything is changed; peft would leave them out without a word."""
        missing = sorted(peft_config.sites.keys() - dict(model.named_modules()).keys())
        if missing:
            raise ConfigurationError(
                f"{len(missing)} of the adapter's {len(peft_config.sites)} sites are not in this "
                f"{type(model).__name__}, such as '{missing[0]}'. Load the adapter onto the model that it was made "
                f"for: {peft_config.base_model_name_or_path or 'adapter_config.json does not name it'}."
            )

    def _create_and_replace(
        self,
        peft_config: PeftSearchConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        layer = target if isinstance(target, AdaptedLayer) else AdaptedLayer(target)
        ranks = peft_config.sites[current_key]
        role = Role(peft_config.roles[current_key]) if current_key in peft_config.roles else None
        layer.add_modules(adapter_name, ranks, role=role, inference_mode=peft_config.inference_mode)
        if not peft_config.init_weights:
            layer.randomise(adapter_name)
        if current_key in peft_config.inputs:
            layer.tap_input_of(self._base_layer_at(peft_config.inputs[current_key]))
        if layer is not target:
            if adapter_name not in self.active_adapters:
                layer.requires_grad_(False)
            self._replace_module(parent, target_name, layer, target)

    def _base_layer_at(self, path: str) -> nn.Module:
        """The layer at a path, without what wraps it.

        Raises:
            ConfigurationError: if the model has none.
        """
        try:
            layer = self.model.get_submodule(path)
        except AttributeError as error:
            raise ConfigurationError(f"'inputs' names '{path}', which this model does not have.") from error
        return layer.get_base_layer() if isinstance(layer, AdaptedLayer) else layer

    def _post_injection_hook(self, model: nn.Module, config: PeftSearchConfig, adapter_name: str) -> None:
        super()._post_injection_hook(model, config, adapter_name)
        choose_attention(model)

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: PeftSearchConfig, adapter_name: str, state_dict: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        remapped = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        _check_shapes(model, remapped)
        return remapped

    def delete_adapter(self, adapter_name: str) -> None:
        """Take an adapter out for good."""
        super().delete_adapter(adapter_name)
        choose_attention(self.model)

    def unmergeable_sites(self, adapter_names: list[str] | None = None) -> dict[str, str]:
        """Module name -> why its modules cannot be merged, over the given (or active) adapters."""
        return {
            name: reason
            for name, layer in self.model.named_modules()
            if isinstance(layer, AdaptedLayer)
            for adapter in adapter_names or self.active_adapters
            if (reason := layer.unmergeable_reason(adapter))
        }

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Merge in place; refuse before anything is changed if a site cannot be merged."""
        self._refuse_unmergeable(adapter_names)
        super().merge_adapter(adapter_names=adapter_names, safe_merge=safe_merge)

    def _unload_and_optionally_merge(self, merge: bool = True, **settings: Any) -> nn.Module:
        if merge:
            self._refuse_unmergeable(settings.get("adapter_names"))
        layers = [module for module in self.model.modules() if isinstance(module, AdaptedLayer)]
        unloaded = super()._unload_and_optionally_merge(merge=merge, **settings)
        for layer in layers:
            layer.drop_tap()
        choose_attention(self.model)
        return unloaded

    def _refuse_unmergeable(self, adapter_names: list[str] | None) -> None:
        refused = self.unmergeable_sites(adapter_names)
        if refused:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(refused.items())[:5])
            raise MergeError(f"Merging is impossible at {len(refused)} site(s): {reasons}. Keep the adapter unmerged.")


def _check_shapes(model: nn.Module, state_dict: dict[str, torch.Tensor]) -> None:
    """Refuse an adapter whose tensors are of another size than the model's modules."""
    own = {name: parameter.shape for name, parameter in model.named_parameters() if PREFIX in name}
    wrong = [name for name in own.keys() & state_dict.keys() if own[name] != state_dict[name].shape]
    if wrong:
        first = min(wrong)
        raise ModelError(
            f"The adapter is for another model: {len(wrong)} of its tensors have another shape, such as '{first}', "
            f"which is {tuple(state_dict[first].shape)} and must be {tuple(own[first])} here."
        )


if _PEFT_TYPE not in PEFT_TYPE_TO_CONFIG_MAPPING:
    register_peft_method(name=_NAME.lower(), config_cls=PeftSearchConfig, model_cls=PeftSearchModel)
