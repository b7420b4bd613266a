"""How a pretrained model is brought into memory: its weights in fewer bits, or over several devices. No torch here."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peftsearch.files import read_limited
from peftsearch.settings import SettingError, require, show

# BitsAndBytesConfig of the settings `load_in_4bit` and `load_in_8bit`, as transformers writes it.
FOUR_BIT: Mapping[str, Any] = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
}
EIGHT_BIT: Mapping[str, Any] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
# Names that accelerate knows; "" loads the model where the training puts it.
DEVICE_MAPS = ("", "auto", "balanced", "balanced_low_0", "sequential")
_EXAMPLE = 'a JSON object with "quant_method", such as {"quant_method": "bitsandbytes", "load_in_8bit": true}'
# No quantisation's description is as large.
_MAX_BYTES = 100_000


@dataclass(frozen=True)
class Loading:
    """How a pretrained model is loaded.

    Args:
        quantization: how its linear maps are quantised, as `quantization_config` stands in transformers' config.json;
            empty to take them as they are on disk.
        device_map: how accelerate places its layers on several devices, one of `DEVICE_MAPS`.
    """

    quantization: Mapping[str, Any] = field(default_factory=dict)
    device_map: str = ""

    @property
    def quantises(self) -> bool:
        """Whether weights are quantised while they are loaded."""
        return bool(self.quantization)


# A model as it is on disk, where the training puts it.
IN_FULL = Loading()


def loading_of(
    *, in_4bit: bool = False, in_8bit: bool = False, quantization: str = "", device_map: str = ""
) -> Loading:
    """Read the settings that say how a model is loaded.

    Args:
        in_4bit: `load_in_4bit`.
        in_8bit: `load_in_8bit`.
        quantization: JSON; see `read_quantization`.
        device_map: see `Loading`.

    Raises:
        SettingError: if they name more than one quantisation, or none that can be read.
    """
    found = read_quantization(quantization)
    require(not (in_4bit and in_8bit), "load_in_8bit", True, "left out with load_in_4bit")
    require(not found or not (in_4bit or in_8bit), "quantization", quantization, "left out with load_in_4bit or 8bit")
    short = FOUR_BIT if in_4bit else EIGHT_BIT if in_8bit else found
    return Loading(dict(short), device_map)


def as_quantization_text(value: Any) -> str:
    """Replace the name of a JSON file by its content, so that settings hold all that they need.

    Args:
        value: name of a file, JSON, or a mapping.

    Raises:
        SettingError: if the file cannot be read.
    """
    if isinstance(value, Mapping):
        return json.dumps(value)
    if not isinstance(value, str) or value.lstrip().startswith("{"):
        return value
    try:
        return json.dumps(json.loads(read_limited(Path(value), max_bytes=_MAX_BYTES)))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError(
            f"quantization is {show(value)}, which is unreadable: {reason}. Give {_EXAMPLE}."
        ) from error


def read_quantization(text: str) -> dict[str, Any]:
    """Read a JSON object that describes a quantisation; empty text describes none.

    Raises:
        SettingError: if it is none.
    """
    if not text.strip():
        return {}
    found: dict[str, Any] = {}
    with suppress(ValueError, TypeError):
        found |= json.loads(text)
    is_one = isinstance(found.get("quant_method"), str)
    require(is_one, "quantization", text, f"{_EXAMPLE}, or a file that holds one")
    return found
