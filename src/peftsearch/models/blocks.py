"""Find the lists of alike blocks of a model: the layers of its encoder and decoder."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.pytorch_utils import Conv1D

from peftsearch.models.role_names import is_expert, map_role
from peftsearch.space import Role

_TEXT = re.compile(r"(^|\.)(language_model|text_model|text_encoder|text_decoder)(\.|$)")
_OTHER_MEDIA = re.compile(r"vision|visual|image|img|pixel|audio|speech|video|acoustic|projector|qformer|resampler")
_PLACEHOLDER = re.compile(r"(image|vision|audio|video|speech)_token(_id|_index)$")


@dataclass(frozen=True)
class BlockList:
    """A list of blocks.

    Args:
        path: its name in the model.
        blocks: the blocks themselves.
    """

    path: str
    blocks: nn.ModuleList

    @property
    def parent(self) -> str:
        """Name of the module that has the list; "" for the model itself."""
        return self.path.rpartition(".")[0]

    @property
    def roles(self) -> set[Role]:
        """Roles of the linear maps in any of the blocks."""
        return {role for block in self.blocks for role in _roles(self.path, block)}


def is_map(module: nn.Module) -> bool:
    """Tell whether a module is a linear map that can carry modules."""
    # GPTQ and AWQ keep their weights in a buffer.
    return isinstance(module, nn.Linear | Conv1D) or "qweight" in module._buffers


def find_block_lists(model: nn.Module) -> list[BlockList]:
    """Find the innermost lists whose elements are blocks, in the order of the model.

    A list of stages, each with a list of blocks in it, counts as its blocks.
    """
    return list(_lists_in("", model))


def _lists_in(path: str, module: nn.Module) -> Iterator[BlockList]:
    for name, child in module.named_children():
        place = f"{path}.{name}" if path else name
        if is_expert(place):
            continue
        found = list(_lists_in(place, child))
        if isinstance(child, nn.ModuleList):
            inside = [each for each in found if all(map(_is_whole, [each] * len(each.blocks), each.blocks))]
            own = BlockList(place, child)
            yield from inside or ([own] if own.roles else [])
        else:
            yield from found


def _is_whole(found: BlockList, block: nn.Module) -> bool:
    """Tell whether a block has both attention and a feed-forward part, so that it is no part of a larger block."""
    roles = set(_roles(found.path, block))
    return Role.FFN_OUT in roles and bool(roles & {Role.ATTENTION_OUTPUT, Role.MIXER_OUT})


def _roles(path: str, block: nn.Module) -> Iterator[Role]:
    own = path.rpartition(".")[2]
    for name, module in block.named_modules():
        role = map_role(f"{own}.{name}") if name and is_map(module) else None
        if role is not None:
            yield role


def stacks_of(model: nn.Module) -> dict[str, list[BlockList]]:
    """Sort the lists of blocks into stacks.

    Of a model that reads text and other media, only the blocks that read text count; a model that compares texts with
    images or sounds has a second stack for these.

    Returns:
        "encoder", "decoder", "vision" or "audio" -> its lists, in the order of the model.
    """
    stacks: dict[str, list[BlockList]] = {}
    for found in _of_text(model, find_block_lists(model)):
        stacks.setdefault(_stack_of(model, found.path), []).append(found)
    return stacks


def _of_text(model: nn.Module, lists: list[BlockList]) -> list[BlockList]:
    if _is_dual(model):
        return lists
    plain = [found for found in lists if not _OTHER_MEDIA.search(found.path)]
    is_pair = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    return ([] if is_pair else [found for found in plain if _TEXT.search(found.path)]) or plain or lists


def _is_dual(model: nn.Module) -> bool:
    """Tell whether a model has one encoder for text and another for images or sounds, side by side."""
    config = getattr(model, "config", None)
    if not hasattr(config, "text_config") or not (hasattr(config, "vision_config") or hasattr(config, "audio_config")):
        return False
    # Others put images or sounds among the tokens of a language model.
    has_placeholder = any(map(_PLACEHOLDER.search, vars(config)))
    return not has_placeholder and not any("language_model" in name for name, _ in model.named_modules())


def _stack_of(model: nn.Module, path: str) -> str:
    config = getattr(model, "config", None)
    if _is_dual(model) and _OTHER_MEDIA.search(path):
        return "audio" if re.search("audio|speech", path) else "vision"
    if getattr(config, "is_encoder_decoder", False):
        return "decoder" if "decoder" in path else "encoder"
    return "decoder" if "decoder" in path or _is_causal(config) else "encoder"


def _is_causal(config: object) -> bool:
    is_causal = any("CausalLM" in name for name in getattr(config, "architectures", None) or ())
    model_type = getattr(config, "model_type", None)
    writes = model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return is_causal or writes or hasattr(config, "num_key_value_heads")
