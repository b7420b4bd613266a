"""The base of every module kind, and the registry that finds them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from peftsearch.registry import Registry
from peftsearch.space import Role, Site


class Mask(NamedTuple):
    """How strongly a module counts in a supernet; None stands for ones.

    Args:
        gate: scalar that multiplies what the module adds.
        rank: (rank,) multiplies the rank-sized activation; leading ones keep the leading components.
    """

    gate: torch.Tensor | None = None
    rank: torch.Tensor | None = None


UNMASKED = Mask()


class PeftModule(nn.Module, ABC):
    """A small trainable change of one layer.

    A kind is one subclass in one file of `modules/kinds`. Its parameters are direct attributes, since peft and
    transformers rewrite names that nest deeper.

    Args:
        base_layer: the layer that is changed: linear, transformers' Conv1D or a norm.
        rank: number of components of a ranked kind, 1 for others.
    """

    kind: ClassVar[str]
    description: ClassVar[str]
    source: ClassVar[str]
    # Whether the size depends on a rank.
    ranked: ClassVar[bool] = False
    # Parameter name -> axis along which the rank's components lie; parameters without one are absent.
    rank_axes: ClassVar[Mapping[str, int]] = {}
    # Modules at one site apply in ascending order: first what the layer can be run with (`runs_as`), then what reads
    # its input, serial ones last.
    order: ClassVar[int] = 0
    # Multiple of the learning rate that suits the kind where LoRA's multiple is 1.
    learning_rate_scale: ClassVar[float] = 1.0
    # Whether `x` is the input of the block that the layer ends (`Site.input_path`) and not the layer's own.
    reads_block_input: ClassVar[bool] = False
    # Whether `build` must know the site's role.
    reads_role: ClassVar[bool] = False
    # Whether `before` changes what the layer reads.
    changes_input: ClassVar[bool] = False
    # "weight" or "bias" for kinds that do nothing but add their gate times `weight_delta` (not for Conv1D) or
    # `bias_delta` to that parameter: the layer is run with the sum, where `changed_layer.py` says that it can be, and
    # with `forward` after it elsewhere.
    runs_as: ClassVar[str | None] = None
    # Whether the kind acts inside the attention function and leaves the layer's output as it is.
    acts_in_attention: ClassVar[bool] = False

    @classmethod
    def build(cls, base_layer: nn.Module, rank: int, role: Role | None) -> "PeftModule":
        """Make a module for a layer; `role` is None unless the kind reads it."""
        return cls(base_layer, rank)

    @classmethod
    @abstractmethod
    def fits(cls, site: Site) -> bool:
        """Whether the kind can stand at a site."""

    @classmethod
    @abstractmethod
    def num_parameters(cls, site: Site, rank: int) -> int:
        """Exact number of trainable parameters at a site."""

    @abstractmethod
    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        """Change a layer's output.

        Args:
            x: (batch, tokens, in_width) the layer's input.
            y: (batch, tokens, out_width) its output after the modules before this one.
            mask: gate and rank mask of a supernet.

        Returns:
            (batch, tokens, out_width) in the dtype of `y`; exactly `y` at initialisation.
        """

    def before(self, x: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        """Change what the layer and the modules before this one read: (batch, tokens, in_width)."""
        return x

    @torch.no_grad()
    def inherit(self, larger: "PeftModule") -> None:
        """Copy the leading rows and columns of a module of the same kind and at least the same rank."""
        for own, other in zip(self.parameters(), larger.parameters(), strict=True):
            own.copy_(other[tuple(slice(0, length) for length in own.shape)])

    def unmergeable_reason(self, base_layer: nn.Module) -> str | None:
        """Why the module cannot be folded into the layer's own parameters; None if it can."""
        return None

    def weight_delta(self, base_weight: torch.Tensor) -> torch.Tensor | None:
        """What merging adds to the layer's weight.

        Args:
            base_weight: (out_width, in_width), or (width,) for a norm: the layer's weight with the modules before
                this one merged, in float32.

        Returns:
            a tensor of the same shape; None for nothing.
        """
        return None

    def bias_delta(self, base_bias: torch.Tensor | None) -> torch.Tensor | None:
        """What merging adds to the layer's bias: (out_width,); arguments and result as in `weight_delta`."""
        return None


KINDS: Registry[type[PeftModule]] = Registry(
    "module kind", package="peftsearch.modules.kinds", group="peftsearch.kinds"
)


Kind = TypeVar("Kind", bound=type[PeftModule])


def register_kind(kind: Kind) -> Kind:
    """Class decorator that makes a kind known by its name."""
    KINDS.add(kind.kind, kind)
    return kind


def layer_widths(base_layer: nn.Module) -> tuple[int, int]:
    """Widths of a layer's input and output, in features."""
    own = vars(base_layer)
    if "in_features" in own:  # nn.Linear and the layers of quantised models
        return own["in_features"], own["out_features"]
    shape = base_layer.get_parameter("weight").shape
    return (shape[0], shape[1]) if isinstance(base_layer, Conv1D) else (shape[0], shape[0])


def is_plain(base_layer: nn.Module) -> bool:
    """Whether the layer's weight is an ordinary tensor of numbers, and not quantised, packed or a DTensor."""
    weight = getattr(base_layer, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.is_floating_point() and type(weight.data) is torch.Tensor


def bias_is_missing(base_layer: nn.Module) -> str | None:
    """The reason why a bias cannot be merged, if there is one."""
    if getattr(base_layer, "bias", None) is None:
        return "the base layer has no bias to merge into"
    return None
