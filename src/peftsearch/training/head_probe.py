"""Fit a task head to the frozen backbone: linear probing, before fine-tuning.

Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", section
3. Ours: the backbone runs once over the data, learning rates are chosen by the loss on validation, a head that no rate
improves stays as it is, and the head goes half of the way only. One that is fitted to the end knows the training
examples by heart: their gradients vanish, modules learn little, and trainings end worse than with a fresh head
(docs/results.md).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn
from torch.optim.lr_scheduler import LinearLR
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from peftsearch.modules.placement import input_device
from peftsearch.training.micro_batches import Batch, num_items
from peftsearch.training.probe_record import HeadProbe

# Learning rates of AdamW to choose from, ascending; heads of two layers want a lower one than a single map.
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
# Passes over the data of the short fits that choose the rate, and of a full one. Each decays its rate to 0 linearly:
# at a constant rate the noise of the batches kept the loss on TREC at 1.20 (decayed: 1.06; logistic regression: 1.05).
TRIAL_PASSES, PASSES = 5, 50
# Passes without a lower validation loss after which a fit ends.
PATIENCE = 10
# Share of the fall of the validation loss, from the fresh head to the best, that the head is left with.
SHARE = 0.5
# The rate on the way there, as a share of the best one, and how often in a pass the loss is looked at.
SLOWER, LOOKS = 0.1, 8
# The backbone's outputs on a split are kept in memory up to this size; then its further batches are left out.
MAX_BYTES = 2**30

# The input of models that read pictures.
_PIXELS = "pixel_values"

HeadState = dict[str, torch.Tensor]


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


def probe_head(
    model: PreTrainedModel,
    head: Sequence[str],
    *,
    train: Iterable[Batch],
    validation: Iterable[Batch],
    seed: int,
    task: ProbedTask = OWN_LOSS,
) -> HeadProbe:
    """Fit the head of a model in place; the backbone stays as it is.

    Args:
        model: a task model.
        head: names of the head's modules, as `find_head` gives them.
        train: batches to fit to, on any device.
        validation: batches that choose rate and number of passes.
        seed: of the order of the batches.
        task: how batches are put to the model.
    """
    started = time.perf_counter()
    backbone = _Backbone(model, head, task)
    parameters = head_parameters(model, head)
    fresh = _copy(parameters)
    with _only_trainable(model, parameters.values()):
        held_out = list(backbone.run(validation, max_bytes=MAX_BYTES))
        fitted = list(backbone.run(train, max_bytes=MAX_BYTES))
        fresh_loss = backbone.mean_loss(held_out)

        fit = _Fit(backbone, parameters, fitted, held_out, seed)
        trials = [fit.run(rate, TRIAL_PASSES, fresh).loss for rate in RATES]
        fastest = trials.index(min(trials))
        # Short fits flatter high rates, so the next lower one is fitted as well.
        best = min(
            (fit.run(rate, PASSES, fresh) for rate in RATES[max(fastest - 1, 0) : fastest + 1]),
            key=lambda fitted: fitted.loss,
        )
        is_better = best.loss < fresh_loss
        taken = fit.run_down_to(fresh_loss - SHARE * (fresh_loss - best.loss), best, fresh) if is_better else None
    _load(parameters, taken.state if taken else fresh)
    return HeadProbe(
        fresh_loss,
        taken.loss if taken else fresh_loss,
        taken.rate if taken else None,
        lowest_loss=min(best.loss, fresh_loss),
        num_rows=sum(len(cached.batch["labels"]) for cached in fitted),
        seconds=time.perf_counter() - started,
        reads=backbone.reads,
    )


def head_parameters(model: nn.Module, head: Sequence[str]) -> dict[str, nn.Parameter]:
    """Name in the model -> each parameter of its head's modules."""
    return {f"{name}.{n}": p for name in head for n, p in model.get_submodule(name).named_parameters()}


class _Fitted(NamedTuple):
    """A head out of one fit: its validation loss, the fit's rate, and its parameters."""

    loss: float
    rate: float
    state: HeadState


class _Fit(NamedTuple):
    """Everything of a fit but its rate, its length and its start."""

    backbone: "_Backbone"
    parameters: dict[str, nn.Parameter]
    train: Sequence["_Cached"]
    validation: Sequence["_Cached"]
    seed: int

    def run(self, rate: float, passes: int, start: HeadState) -> _Fitted:
        """Fit from a head, with a rate that decays to 0 linearly."""
        _load(self.parameters, start)
        optimizer = torch.optim.AdamW(self.parameters.values(), lr=rate)
        decay = LinearLR(optimizer, start_factor=1, end_factor=0, total_iters=passes * len(self.train))
        generator = torch.Generator().manual_seed(self.seed)
        best, worse = _Fitted(float("inf"), rate, start), 0
        for _ in range(passes):
            for i in torch.randperm(len(self.train), generator=generator).tolist():
                self._step(optimizer, self.train[i])
                decay.step()
            loss = self.backbone.mean_loss(self.validation)
            if loss < best.loss:
                best, worse = _Fitted(loss, rate, _copy(self.parameters)), 0
            else:
                worse += 1
            if worse == PATIENCE:
                break
        return best

    def run_down_to(self, target: float, best: _Fitted, start: HeadState) -> _Fitted:
        """Fit from a head at a lower rate until the validation loss has come down to a target.

        Args:
            target: mean validation loss.
            best: the head with the lowest loss, taken where no other gets there.
            start: of the fit.
        """
        _load(self.parameters, start)
        rate = SLOWER * best.rate
        optimizer = torch.optim.AdamW(self.parameters.values(), lr=rate)
        generator = torch.Generator().manual_seed(self.seed)
        every, steps = max(1, len(self.train) // LOOKS), 0
        for _ in range(PASSES):
            for i in torch.randperm(len(self.train), generator=generator).tolist():
                self._step(optimizer, self.train[i])
                steps += 1
                if steps % every == 0 and (loss := self.backbone.mean_loss(self.validation)) <= target:
                    return _Fitted(loss, rate, _copy(self.parameters))
        return best

    def _step(self, optimizer: torch.optim.Optimizer, cached: "_Cached") -> None:
        optimizer.zero_grad()
        self.backbone.loss_of(cached).backward()
        optimizer.step()


def _copy(parameters: dict[str, nn.Parameter]) -> HeadState:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


@torch.no_grad()
def _load(parameters: dict[str, nn.Parameter], state: HeadState) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(state[name])
        parameter.grad = None


@contextmanager
def _only_trainable(model: nn.Module, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Let only these parameters of a model have gradients, without dropout, and give both back as they were."""
    was_training, were = model.training, [(p, p.requires_grad) for p in model.parameters()]
    model.eval().requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        model.train(was_training)
        for parameter, requires_grad in were:
            parameter.requires_grad_(requires_grad)


# -- the backbone's outputs, once


@dataclass(frozen=True)
class _Cached:
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


class _Backbone:
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
    def run(self, batches: Iterable[Batch], *, max_bytes: int | None = None) -> Iterator[_Cached]:
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

    def loss_of(self, cached: _Cached) -> torch.Tensor:
        """The mean loss of a batch with the head as it is now."""
        with self._replaying(cached.output):
            outputs = self._task.forward(self.model, cached.batch)
        return self._task.mean_loss(outputs, cached.batch)

    def _logits(self, cached: _Cached) -> dict[str, torch.Tensor]:
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
    def mean_loss(self, batches: Sequence[_Cached]) -> float:
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

    def _cut(self, batch: Batch, output: ModelOutput, view: _View) -> _Cached:
        found, last = dict(output), _last_tokens(batch)
        kept = {"last_hidden_state": view(found["last_hidden_state"], last)}
        if found.get("pooler_output") is not None:
            kept["pooler_output"] = found["pooler_output"]
        read = self._task.inputs(batch)
        inputs = {name: self._cut_input(name, tensor, view, last) for name, tensor in read.items()}
        return _Cached(batch | inputs, type(output)(**kept))

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
