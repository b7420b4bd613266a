"""Outputs of a frozen backbone, computed once for each batch, on which the task head runs as often as needed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from peftsearch.modules.placement import input_device
from peftsearch.training.micro_batches import Batch, num_items

# The input of models that read pictures.
_PIXELS = "pixel_values"


class ProbedTask(Protocol):
    """How batches are put to a model; task formats are of this sort."""

    def inputs(self, batch: Batch, /) -> Batch:
        """What the model reads of a batch."""
        ...

    def forward(self, model: nn.Module, batch: Batch, /) -> Any:
        """The outputs of a model on a batch, with its loss."""
        ...

    def mean_loss(self, outputs: Any, batch: Batch, /) -> torch.Tensor:
        """The mean loss of a batch, from the model's outputs on it."""
        ...


class OwnLoss:
    """Batches of inputs and labels, of which a model computes its own loss."""

    def inputs(self, batch: Batch) -> Batch:
        return {name: tensor for name, tensor in batch.items() if name != "labels"}

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        return model(**batch)

    def mean_loss(self, outputs: Any, batch: Batch) -> torch.Tensor:
        return outputs["loss"]


OWN_LOSS = OwnLoss()


@dataclass(frozen=True)
class CachedBatch:
    """A batch, and the part of the backbone's outputs on it that the head reads."""

    batch: Batch
    output: ModelOutput


# Cuts a tensor (batch, tokens, ...) down to the tokens that a head reads, given the index of each row's last token.
_View = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _all_tokens(tensor: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    return tensor


def _first_token(tensor: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    return tensor[:, :1].clone()


def _last_token(tensor: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    return tensor[torch.arange(len(tensor), device=tensor.device), last][:, None]


_READS: dict[_View, str] = {_first_token: "first token", _last_token: "last token", _all_tokens: "all tokens"}


class FrozenBackbone:
    """Runs the base model of a task model once for each batch, and the head on its outputs as often as needed.

    Most heads read the first or the last token only: which is found by trying, and only that is kept.
    """

    def __init__(self, model: PreTrainedModel, head: Sequence[str], task: ProbedTask):
        self.model, self.base, self._task = model, model.base_model, task
        # A pooler without pretrained weights belongs to the head, though it stands inside of the base model.
        prefix = f"{model.base_model_prefix}."
        self.poolers = [model.get_submodule(name) for name in head if name.startswith(prefix)]
        self._view: _View | None = None

    @property
    def reads(self) -> str:
        """What the head reads of a text; empty before the first batch."""
        return _READS[self._view] if self._view else ""

    @torch.no_grad()
    def run(self, batches: Iterable[Batch], *, max_bytes: int | None = None) -> Iterator[CachedBatch]:
        """Outputs of each batch; after `max_bytes` of them the rest is left out."""
        taken, device = 0, input_device(self.model)
        for batch in batches:
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            output = self.base(**self._task.inputs(batch))
            if self._view is None:
                self._view = self._smallest_view(batch, output)
            yield (cached := self._cut(batch, output, self._view))
            taken += sum(t.nbytes for t in cached.output.values() if isinstance(t, torch.Tensor))
            if max_bytes is not None and taken >= max_bytes:
                return

    def loss_of(self, cached: CachedBatch) -> torch.Tensor:
        """The mean loss of a batch with the head as it is now."""
        with self._replaying(cached.output):
            outputs = self._task.forward(self.model, cached.batch)
        return self._task.mean_loss(outputs, cached.batch)

    def _logits(self, cached: CachedBatch) -> dict[str, torch.Tensor]:
        """What the head makes of the cached outputs: its logits, or those of an answer's start and end."""
        with self._replaying(cached.output):
            outputs = self.model(**self._task.inputs(cached.batch))
        return {name: tensor for name, tensor in outputs.items() if name.endswith("logits")}

    @contextmanager
    def _replaying(self, output: ModelOutput) -> Iterator[None]:
        """Let the base model give these outputs, with what poolers of the head make of them now."""
        for pooler in self.poolers:
            output = type(output)(**{**output, "pooler_output": pooler(output.last_hidden_state)})
        own = vars(self.base).get("forward")
        self.base.forward = lambda *_, **__: output
        try:
            yield
        finally:
            del self.base.forward
            if own is not None:
                self.base.forward = own

    @torch.no_grad()
    def mean_loss(self, batches: Sequence[CachedBatch]) -> float:
        """Mean loss over all labels."""
        counts = [int(num_items(cached.batch)) for cached in batches]
        losses = [float(self.loss_of(cached)) * count for cached, count in zip(batches, counts, strict=True)]
        return sum(losses) / sum(counts)

    def _smallest_view(self, batch: Batch, output: ModelOutput) -> _View:
        expected = self._logits(self._cut(batch, output, _all_tokens))
        for view in _views_of(batch, output):
            found = self._logits(self._cut(batch, output, view))
            if all(_are_same(found[name], tensor) for name, tensor in expected.items()):
                return view
        return _all_tokens

    def _cut(self, batch: Batch, output: ModelOutput, view: _View) -> CachedBatch:
        found, last = dict(output), _last_tokens(batch)
        kept = {"last_hidden_state": view(found["last_hidden_state"], last)}
        if found.get("pooler_output") is not None:
            kept["pooler_output"] = found["pooler_output"]
        read = self._task.inputs(batch)
        inputs = {name: self._cut_input(name, tensor, view, last) for name, tensor in read.items()}
        return CachedBatch(batch | inputs, type(output)(**kept))

    @staticmethod
    def _cut_input(name: str, tensor: torch.Tensor, view: _View, last: torch.Tensor) -> torch.Tensor:
        # No head looks at pixels.
        return tensor[:, :, :1, :1].clone() if name == _PIXELS else view(tensor, last)


def _are_same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return found.shape == expected.shape and torch.allclose(found, expected, atol=1e-5)


def _views_of(batch: Batch, output: ModelOutput) -> tuple[_View, ...]:
    """The views that may do in place of all tokens: pictures are not padded, and maps of features are no tokens."""
    if output["last_hidden_state"].dim() != 3:
        return ()
    return (_first_token,) if _PIXELS in batch else (_first_token, _last_token)


def _last_tokens(batch: Batch) -> torch.Tensor:
    """(batch,) index of the last token of each row that is no padding; 0 for pictures, where it is not asked for."""
    if _PIXELS in batch:
        return torch.zeros(len(batch[_PIXELS]), dtype=torch.long)
    mask = batch["attention_mask"]
    return mask.shape[1] - 1 - mask.flip(1).argmax(1)
