"""The base class of all module kinds, and their registry."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from peftsearch.modules.plain_forms import LoraUpdate, PlainBottleneck
from peftsearch.registry import Registry
from peftsearch.space import Role, Site


class Mask(NamedTuple):
    """The weights of a module and of its components in a supernet; None means a weight of 1.

    Args:
        gate: a scalar that multiplies what the module adds.
        rank: (rank,); it multiplies the activation of that width, so that leading ones keep the leading components.
    """

    gate: torch.Tensor | None = None
    rank: torch.Tensor | None = None


UNMASKED = Mask()


class PeftModule(nn.Module, ABC):
    """A small trainable change of one layer.

    Each kind is a subclass in a file of its own. Its parameters are direct attributes, since peft and transformers
    rewrite names that nest deeper.

    Args:
        base_layer: the layer that is changed: a linear layer, transformers' Conv1D or a norm.
        rank: number of components of a ranked kind, 1 for others.
    """

    kind: ClassVar[str]
    description: ClassVar[str]
    source: ClassVar[str]
    # Whether the size depends on a rank.
    ranked: ClassVar[bool] = False
    # Parameter name -> the axis with one entry for each component; parameters without such an axis are absent.
    rank_axes: ClassVar[Mapping[str, int]] = {}
    # Modules at one site apply in ascending order: first those that change the layer's parameters (`runs_as`), then
    # those that read its input, last those that read its output.
    order: ClassVar[int] = 0
    # The learning rate that suits the kind, as a multiple of LoRA's.
    learning_rate_scale: ClassVar[float] = 1.0
    # Whether `x` is the input of the block that the layer ends (`Site.input_path`) and not the layer's own.
    reads_block_input: ClassVar[bool] = False
    # "weight" or "bias" for kinds that only add gate * `weight_delta` (not for Conv1D) or gate * `bias_delta` to that
    # parameter. The layer then runs with the sum where `changed_layer.can_run_with` allows it; elsewhere `forward`
    # follows the layer.
    runs_as: ClassVar[str | None] = None
    # Whether the kind reads or changes the layer's weight, so that it must be in floating point: not quantised.
    needs_float_weight: ClassVar[bool] = False
    # Set by whether a kind overrides `build`, `before` and `attend`.
    reads_role: ClassVar[bool] = False
    changes_input: ClassVar[bool] = False
    acts_in_attention: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Derive class variables from the methods that a kind overrides."""
        super().__init_subclass__(**options)
        cls.reads_role = cls.build.__func__ is not PeftModule.build.__func__
        cls.changes_input = cls.before is not PeftModule.before
        cls.acts_in_attention = cls.attend is not PeftModule.attend

    @classmethod
    def build(cls, base_layer: nn.Module, rank: int, role: Role | None) -> "PeftModule":
        """Make a module for a layer; to be overridden by kinds that need the role of the site.

        Args:
            base_layer: the layer that is changed.
            rank: at least 1.
            role: the role of the site; None unless the kind overrides this method.
        """
        return cls(base_layer, rank)

    @classmethod
    @abstractmethod
    def fits(cls, site: Site) -> bool:
        """Tell whether the kind can stand at a site."""

    @classmethod
    @abstractmethod
    def num_parameters(cls, site: Site, rank: int) -> int:
        """Count the exact trainable parameters at a site.

        Args:
            site: a site that the kind fits.
            rank: at least 1; 1 for kinds without ranks.
        """

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
        """Change the input of the layer and of the modules before this one; to be overridden by kinds that do.

        Args:
            x: (batch, tokens, in_width) the layer's input.
            mask: gate and rank mask of a supernet.

        Returns:
            (batch, tokens, in_width).
        """
        return x

    def attend(
        self, query: torch.Tensor, *, num_key_heads: int, scaling: float | None, mask: Mask = UNMASKED
    ) -> torch.Tensor:
        """Compute what is added to an attention's output; only kinds that override this are asked.

        Such a kind acts inside the attention function: its `forward` is not run, and the layer's output stays as it
        is.

        Args:
            query: (batch, heads, tokens, head_width).
            num_key_heads: number of key heads; each serves heads / num_key_heads query heads.
            scaling: factor of the logits; None for 1 / sqrt(head_width).
            mask: gate and rank mask of a supernet.

        Returns:
            (batch, tokens, heads, head_width), in any dtype.
        """
        raise NotImplementedError

    @torch.no_grad()
    def inherit(self, larger: "PeftModule") -> None:
        """Copy the leading entries of each parameter of a module of the same kind.

        Args:
            larger: a module of at least the same rank, for the same site.
        """
        for own, other in zip(self.parameters(), larger.parameters(), strict=True):
            own.copy_(other[tuple(slice(0, length) for length in own.shape)])

    def unmergeable_reason(self, base_layer: nn.Module) -> str | None:
        """Say why the module cannot be folded into the layer's own parameters; None if it can.

        Args:
            base_layer: the layer that is changed.
        """
        return None

    def weight_delta(self, base_weight: torch.Tensor) -> torch.Tensor | None:
        """Compute what merging adds to the layer's weight.

        Args:
            base_weight: (out_width, in_width), or (width,) for a norm; the layer's weight with the modules before
                this one merged into it, in float32.

        Returns:
            a tensor of the same shape; None if merging leaves the weight alone.
        """
        return None

    def bias_delta(self, base_bias: torch.Tensor | None) -> torch.Tensor | None:
        """Compute what merging adds to the layer's bias.

        Args:
            base_bias: (out_width,), like `base_weight` in `weight_delta`; None for a layer without a bias.

        Returns:
            (out_width,); None if merging leaves the bias alone.
        """
        return None

    def as_lora(self, base_layer: nn.Module) -> LoraUpdate | None:
        """Express the module as a LoRA update in float32, for exports; None for a kind that is none.

        Args:
            base_layer: a linear layer or transformers' Conv1D.
        """
        return None

    def as_bottleneck(self) -> PlainBottleneck | None:
        """Express the module as a bottleneck of full maps in float32, for exports; None for a kind that is none."""
        return None


KINDS: Registry[type[PeftModule]] = Registry(
    "module kind", package="peftsearch.modules.kinds", group="peftsearch.kinds"
)


Kind = TypeVar("Kind", bound=type[PeftModule])


def register_kind(kind: Kind) -> Kind:
    """Register a kind under its name; a class decorator.

    Raises:
        ValueError: for a name that is taken.

    Example:
        @register_kind
        class OutputScale(PeftModule):
            kind = "output_scale"
            description = "one learned factor of a layer's output: y * (1 + a)"
            source = "an example"

            def __init__(self, base_layer, rank=1):
                super().__init__()
                self.a = nn.Parameter(torch.zeros(1))

            @classmethod
            def fits(cls, site):
                return not site.role.is_norm

            @classmethod
            def num_parameters(cls, site, rank):
                return 1

            def forward(self, x, y, mask=UNMASKED):
                a = self.a if mask.gate is None else mask.gate * self.a
                return y * (1 + a).to(y.dtype)

            def unmergeable_reason(self, base_layer):
                return "the example leaves merging out"
    """
    KINDS.add(kind.kind, kind)
    return kind


def layer_widths(base_layer: nn.Module) -> tuple[int, int]:
    """Read the widths of a layer's input and output, in features."""
    own = vars(base_layer)
    if "in_features" in own:  # nn.Linear and the layers of quantised models
        return own["in_features"], own["out_features"]
    shape = base_layer.get_parameter("weight").shape
    return (shape[0], shape[1]) if isinstance(base_layer, Conv1D) else (shape[0], shape[0])


def is_plain(base_layer: nn.Module) -> bool:
    """Tell whether a layer's weight is a plain floating-point tensor: not quantised, packed or a DTensor."""
    weight = getattr(base_layer, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.is_floating_point() and type(weight.data) is torch.Tensor


def bias_is_missing(base_layer: nn.Module) -> str | None:
    """Say why a bias cannot be merged into a layer; None if it can."""
    if getattr(base_layer, "bias", None) is None:
        return "the base layer has no bias to merge into"
    return None
