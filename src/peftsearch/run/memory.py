"""Estimate the memory of searches and trainings from a model's configuration, before any weight is loaded."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from peftsearch.models.discover import find_sites
from peftsearch.models.head import TaskModel
from peftsearch.models.loading import FOUR_BIT, IN_FULL, Loading
from peftsearch.models.quantisation import find_quantised, quantisation_of
from peftsearch.models.shortened import alike_lists, shortened
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import cost
from peftsearch.space import Configuration, Site
from peftsearch.training.live_bytes import peak_of_step

_FLOAT = 4
# Bytes of a weight with its share of the scales: NF4 has one for 64 weights, of 8 bits, and those have one for 256.
_BYTES_OF_BITS = {4: 0.5 + 1 / 64 + _FLOAT / (64 * 256), 8: 1.0}
# Blocks of a list that are looked at, and one more of them to see what a block adds.
_FEW = 2
_UNTRACED = (RuntimeError, NotImplementedError, ValueError, TypeError, AttributeError, LookupError)


@dataclass(frozen=True)
class Batches:
    """What a step works on, and how.

    Args:
        size: examples of a pass.
        tokens: of each example.
        gradient_checkpointing: whether activations are computed again in the backward pass.
        loading: how the model's weights are kept.
    """

    size: int = 32
    tokens: int = 128
    gradient_checkpointing: bool = False
    loading: Loading = IN_FULL


# As trainings are set where nothing else is said.
USUAL = Batches()


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that a device must hold for one use of a model, in float32 but for quantised weights.

    Args:
        weights: of the pretrained model, its head included.
        modules: what is trained: modules, and a copy of the head.
        gradients: of what is trained; for a search that compares gradients, of each part of its examples.
        optimizer: Adam's two means of what is trained; none for a search without steps.
        activations: the most that a forward and a backward pass hold beside these; None if that cannot be told.
    """

    weights: int
    modules: int
    gradients: int
    optimizer: int
    activations: int | None

    @property
    def total(self) -> int:
        """All of it at the fullest moment."""
        return self.weights + self.modules + self.gradients + self.optimizer + (self.activations or 0)


@dataclass(frozen=True)
class Use:
    """A use of a model: what is attached, and what is kept of it.

    Args:
        name: for the table.
        configuration: attached modules.
        gradients: copies of all gradients that are held at once.
        moments: numbers that the optimizer keeps for each trained one.
        drops_out: whether dropout is on.
    """

    name: str
    configuration: Configuration
    gradients: int = 1
    moments: int = 2
    drops_out: bool = True


@dataclass(frozen=True)
class Memory:
    """What the uses of a model need, and whether the device here holds it.

    Args:
        batches: what was assumed.
        needs: name of the use -> bytes.
        device: "the GPU" or "this machine", and its bytes.
        advice: sentences on what to switch on; none if all fits.
    """

    batches: Batches
    needs: Mapping[str, MemoryNeed]
    device: tuple[str, int]
    advice: tuple[str, ...] = field(default=())


def estimate_memory(sketch: TaskModel, sites: Iterable[Site], uses: Iterable[Use], *, batches: Batches) -> Memory:
    """Estimate what uses of a model need, and advise where the device here does not hold it.

    Args:
        sketch: the model on the meta device; it is as before afterwards.
        sites: every site of the model.
        uses: of the model.
        batches: that are assumed.
    """
    sites, uses = tuple(sites), tuple(uses)
    needs = {use.name: need_of(sketch, sites, use, batches=batches) for use in uses}
    device = _device()
    largest = max(uses, key=lambda use: needs[use.name].total)
    if needs[largest.name].total <= device[1]:
        return Memory(batches, needs, device)

    def total(changed: Batches) -> int:
        return need_of(sketch, sites, largest, batches=changed).total

    return Memory(batches, needs, device, _advise(total, batches, device, largest.name))


def need_of(sketch: TaskModel, sites: tuple[Site, ...], use: Use, *, batches: Batches) -> MemoryNeed:
    """Estimate what one use of a model needs; arguments as in `estimate_memory`."""
    modules = cost(use.configuration, sites) + sketch.head_parameters
    weights, largest = _weights(sketch, sites, batches.loading)
    activations = _activations(sketch, use, batches)
    return MemoryNeed(
        weights=weights,
        modules=modules * _FLOAT,
        gradients=modules * _FLOAT * use.gradients,
        optimizer=modules * _FLOAT * use.moments,
        activations=None if activations is None else activations + largest,
    )


def _weights(sketch: TaskModel, sites: tuple[Site, ...], loading: Loading) -> tuple[int, int]:
    """Bytes of all weights, and of the largest quantised one when it is unpacked to be multiplied."""
    quantization = quantisation_of(sketch.model.config, loading)
    bits = _bits(quantization)
    at = find_quantised(sketch.model, sites, quantization)
    packed = [site.in_width * site.out_width for site in sites if site.path in at]
    of_packed = sum(packed) * _BYTES_OF_BITS.get(bits, bits / 8)
    in_float = sketch.backbone_parameters + sketch.head_parameters - sum(packed)
    return round(in_float * _FLOAT + of_packed), max(packed, default=0) * _FLOAT if bits == 4 else 0


def _bits(quantization: Mapping[str, Any]) -> int:
    """Bits of a packed weight: as it says, or by the name of its type, as in torchao's Int8WeightOnlyConfig."""
    if quantization.get("load_in_8bit") or re.search(r"(int|float|fp)8", str(quantization), re.IGNORECASE):
        return 8
    return int(quantization.get("bits") or 4)


def _activations(sketch: TaskModel, use: Use, batches: Batches) -> int | None:
    """The most bytes that a step holds, from one or two traces of few blocks where all blocks are alike."""
    try:
        lists = alike_lists(sketch.model)
        if not lists or max(lists.values()) <= _FEW + 1:
            return _traced(sketch, use, batches)
        few = {path: min(_FEW, count) for path, count in lists.items()}
        least = found = _shortened_trace(sketch, use, batches, few)
        for path, count in lists.items():
            if count > few[path]:
                more = _shortened_trace(sketch, use, batches, few | {path: few[path] + 1})
                found += (more - least) * (count - few[path])
        return found
    except _UNTRACED:
        return None


def _shortened_trace(sketch: TaskModel, use: Use, batches: Batches, counts: dict[str, int]) -> int:
    with shortened(sketch.model, counts):
        return _traced(sketch, use, batches)


def _traced(sketch: TaskModel, use: Use, batches: Batches) -> int:
    """Attach what of the modules the model has sites for, and count a step on the meta device."""
    model, sites = sketch.model, find_sites(sketch.model)
    names = {site.name for site in sites}
    there = Configuration.of(choice for choice in use.configuration if choice.site in names)
    with torch.device("meta"):
        attached = attach(model, there, sites=sites)
    for name in sketch.head:
        model.get_submodule(name).requires_grad_(True)
    try:
        if batches.gradient_checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        attached.train(use.drops_out or batches.gradient_checkpointing)
        inputs = _inputs(model, batches)
        return peak_of_step(lambda: attached(**inputs).loss, fused_dropout=torch.cuda.is_available())
    finally:
        if batches.gradient_checkpointing:
            model.activation_checkpointing_disable()
        tuner: Any = attached.base_model
        tuner.unload()
        for parameter in model.parameters():
            parameter.grad = None


def _inputs(model: Any, batches: Batches) -> dict[str, torch.Tensor]:
    if model.main_input_name == "pixel_values":
        side = getattr(model.config, "image_size", 224)
        pixels = torch.empty(batches.size, getattr(model.config, "num_channels", 3), side, side, device="meta")
        return {"pixel_values": pixels, "labels": torch.zeros(batches.size, dtype=torch.long, device="meta")}
    ids = torch.zeros(batches.size, batches.tokens, dtype=torch.long, device="meta")
    writes = model.get_output_embeddings() is not None
    labels = ids if writes else torch.zeros(batches.size, dtype=torch.long, device="meta")
    return {"input_ids": ids, "labels": labels}


def _device() -> tuple[str, int]:
    if torch.cuda.is_available():
        return "the GPU", torch.cuda.mem_get_info()[1]
    return "this machine", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _advise(total: Callable[[Batches], int], batches: Batches, device: tuple[str, int], use: str) -> tuple[str, ...]:
    """Try what saves memory, alone and together, and say what each leaves."""
    tries: dict[str, dict[str, Any]] = {}
    if not batches.gradient_checkpointing:
        tries["--training.gradient_checkpointing true"] = {"gradient_checkpointing": True}
    if batches.size > 1:
        smaller = max(1, batches.size // 4)
        tries[f"--per_device_train_batch_size {smaller} with gradient_accumulation_steps"] = {"size": smaller}
    if not batches.loading.quantises:
        tries["--training.load_in_4bit true"] = {"loading": replace(batches.loading, quantization=FOUR_BIT)}
    alone = {words: total(replace(batches, **change)) for words, change in tries.items()}
    every: dict[str, Any] = {name: value for change in tries.values() for name, value in change.items()}
    together = total(replace(batches, **every))
    name, size = device
    parts = "; ".join(f"{words}: {in_gib(found)}" for words, found in alone.items())
    last = f"all of these: {in_gib(together)}" if len(tries) > 1 else ""
    end = "" if together <= size else " That is not enough: take several devices (--model_device_map auto)."
    return (f"The {use} does not fit {name} ({in_gib(size)}). {'; '.join(filter(None, (parts, last)))}.{end}",)


def in_gib(size: float) -> str:
    """Write bytes in GiB."""
    return f"{size / 2**30:,.2f} GiB" if size >= 2**24 else f"{size / 2**20:,.2f} MiB"
