"""Quantised bases: transformers' configuration of a quantisation, which sites it reaches, and sizes as if unpacked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.quantizers.auto import AutoHfQuantizer, AutoQuantizationConfig
from transformers.quantizers.quantizers_utils import should_convert_module
from transformers.utils.quantization_config import QuantizationConfigMixin

from peftsearch.models.loading import Loading
from peftsearch.models.location import location_of
from peftsearch.settings import SettingError
from peftsearch.space import Site

# Attributes in which the classes of transformers keep the modules that stay as they are.
_KEPT = ("llm_int8_skip_modules", "modules_to_not_convert")


def quantization_on_disk(config: PretrainedConfig) -> dict[str, Any]:
    """Read how a checkpoint's weights are quantised; nothing where they are not."""
    found = getattr(config, "quantization_config", None)
    return dict(found if isinstance(found, Mapping) else found.to_dict() if found else {})


def quantisation_of(config: PretrainedConfig, loading: Loading) -> Mapping[str, Any]:
    """How a model's weights are quantised, while they are loaded or on disk already; empty if they are not."""
    return loading.quantization or quantization_on_disk(config)


def make_quantization_config(quantization: Mapping[str, Any], *, head: Sequence[str] = ()) -> QuantizationConfigMixin:
    """Make transformers' configuration object; the task head, which is trained, stays as it is.

    Args:
        quantization: as in `Loading`. 4 bits of bitsandbytes are multiplied in bfloat16 where a GPU has it, unless
            `bnb_4bit_compute_dtype` says otherwise.
        head: names of the head's modules.

    Raises:
        SettingError: if transformers knows no such quantisation, or it does not work here.
    """
    wanted = dict(quantization)
    if wanted.get("load_in_4bit"):
        has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        wanted.setdefault("bnb_4bit_compute_dtype", "bfloat16" if has_bf16 else "float32")
    try:
        made = AutoQuantizationConfig.from_dict(wanted)
        AutoHfQuantizer.from_config(made, pre_quantized=False).validate_environment()
    except (ImportError, ValueError, TypeError, RuntimeError, AttributeError, LookupError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SettingError(
            f"The model cannot be quantised as asked ({describe_quantisation(quantization)}): {reason}. Install what "
            "is missing with pip install 'peftsearch[quantised]', correct the quantisation, or leave it out."
        ) from error
    kept = next((name for name in _KEPT if hasattr(made, name)), None)
    if kept and head:
        setattr(made, kept, sorted({*(getattr(made, kept) or ()), *head}))
    return made


def check_not_twice(name: str, config: PretrainedConfig, loading: Loading) -> None:
    """Refuse to quantise a model that is quantised already, where transformers would pass over the request.

    Raises:
        SettingError: if both are the case.
    """
    is_gguf = "gguf_file" in location_of(name)
    on_disk = "a .gguf file" if is_gguf else describe_quantisation(quantization_on_disk(config))
    if loading.quantises and on_disk:
        raise SettingError(
            f"The model '{name}' is quantised on disk already ({on_disk}). Leave load_in_4bit, load_in_8bit and "
            "quantization out, or give the model in its original precision."
        )


def find_quantised(model: PreTrainedModel, sites: Iterable[Site], quantization: Mapping[str, Any]) -> frozenset[str]:
    """Find the paths of the sites whose weights a quantisation packs: linear maps, except for those that it leaves.

    Args:
        model: on any device, the meta device included.
        sites: every site of the model.
        quantization: as in `Loading`, or of a checkpoint.
    """
    if not quantization:
        return frozenset()
    kept = [name for key in _KEPT for name in quantization.get(key) or ()]
    kept += model._keep_in_fp32_modules or ()
    return frozenset(site.path for site in sites if not site.role.is_norm and should_convert_module(site.path, kept))


def describe_quantisation(quantization: Mapping[str, Any]) -> str:
    """Name a quantisation in a few words, such as "bitsandbytes, 4 bit"; "" for none."""
    flags = {"load_in_4bit": 4, "load_in_8bit": 8}
    bits = next((number for name, number in flags.items() if quantization.get(name)), quantization.get("bits"))
    return ", ".join(filter(None, (str(quantization.get("quant_method", "")), f"{bits} bit" if bits else "")))


def quantised_note(quantization: Mapping[str, Any], *, num_quantised: int, num_sites: int) -> tuple[str, ...]:
    """Say in a sentence for the user that weights are quantised; no sentence if they are not.

    Args:
        quantization: as in `Loading`, or of a checkpoint.
        num_quantised: sites whose weights are.
        num_sites: of the model.
    """
    named, which = describe_quantisation(quantization), f"{num_quantised} of {num_sites} sites"
    words = f"The weights of {which} are quantised ({named}); budgets count them in full, and the head is in float32."
    return (words,) if quantization else ()


def unpacked_size(parameter: nn.Parameter) -> int:
    """Count the numbers of a parameter as if it were not packed: bitsandbytes keeps two of 4 bits in a byte."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else packed.shape.numel()


def packed_outside_of_parameters(module: nn.Module) -> int:
    """Count the weights of a linear map of GPTQ or AWQ, which keeps them in the buffer `qweight`; 0 for others."""
    if not isinstance(module._buffers.get("qweight"), torch.Tensor):
        return 0
    return vars(module)["in_features"] * vars(module)["out_features"]
