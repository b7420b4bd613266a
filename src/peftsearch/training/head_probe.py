"""Fit a task head to the frozen backbone: linear probing, before fine-tuning.

Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", section
3. Ours: the backbone runs once over the data, learning rates are chosen by the loss on validation, a head that no rate
improves stays as it is, and the head goes half of the way only. One that is fitted to the end knows the training
examples by heart: their gradients vanish, modules learn little, and trainings end worse than with a fresh head
(docs/results_starts.md).
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn
from torch.optim.lr_scheduler import LinearLR
from transformers import PreTrainedModel

from peftsearch.training.backbone_outputs import OWN_LOSS, CachedBatch, FrozenBackbone, ProbedTask
from peftsearch.training.micro_batches import Batch
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

HeadState = dict[str, torch.Tensor]


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
    backbone = FrozenBackbone(model, head, task)
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

    backbone: FrozenBackbone
    parameters: dict[str, nn.Parameter]
    train: Sequence[CachedBatch]
    validation: Sequence[CachedBatch]
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

    def _step(self, optimizer: torch.optim.Optimizer, cached: CachedBatch) -> None:
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
