"""A user's Trainer under a launcher that asks for FSDP: its frozen model is shared out as peftsearch does it.

Accelerate's FSDP would cut modules, which are added and removed, into parts too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, Trainer
from transformers.trainer_utils import EvalLoopOutput, TrainOutput

from peftsearch import launcher, processes
from peftsearch.api.trainer_copy import unwrapped
from peftsearch.environment import count_launched
from peftsearch.errors import ConfigurationError
from peftsearch.models.sharding import finish_passes, is_shared_out, shard_blocks
from peftsearch.training.trainer import mean_over_processes


class SharedOut(Trainer):
    """A Trainer whose processes each hold a part of the frozen model, if their launcher asks for FSDP.

    What is trained is whole in each of them: there is no wrapper of torch, and gradients are averaged once a step.

    Args:
        args: of the Trainer.
        kwargs: of the Trainer.

    Raises:
        ConfigurationError: if the launcher asks for DeepSpeed or Megatron, or the Trainer has a plugin for FSDP.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self.is_shared_out = launcher.take_over_fsdp()
        launcher.refuse_sharding()
        super().__init__(*args, **kwargs)
        if count_launched() > 1 and (self.args.fsdp or self.is_fsdp_enabled):
            raise ConfigurationError(
                "The Trainer has accelerate's plugin for FSDP, of TrainingArguments(fsdp=...) or of an Accelerator "
                "made before it, which cuts modules into parts too. Leave it out, or make the Accelerator later: "
                "under `accelerate launch --use_fsdp` the frozen model is shared out without it."
            )

    def share_out(self, model: PreTrainedModel) -> None:
        """Leave this process a part of each block of a model, which is frozen for good, if the launcher asks for that.

        Args:
            model: gets the weights of the first process, which may be the only one that has loaded them.
        """
        if not self.is_shared_out or is_shared_out(model):
            return
        _make_room(model)
        with self.together():
            processes.share([*model.parameters(), *model.buffers()])
            shard_blocks(model)
        super()._move_model_to_device(model, self.args.device)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Work with the other processes inside of the context; passes need all of them if the model is shared out."""
        with processes.joined(self.args.ddp_timeout, shard_model=self.is_shared_out), processes.passes_explained():
            yield

    @contextmanager
    def _passing(self) -> Iterator[None]:
        """Take passes through a model that is shared out inside of the context; any other is left to the Trainer."""
        if not self.is_shared_out:
            yield
            return
        with self.together(), unwrapped(self):
            yield

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        # As a whole it may be larger than a device.
        if not self.is_shared_out:
            super()._move_model_to_device(model, device)

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """Train as the Trainer does; arguments are its own."""
        with self._passing():
            return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Pass forward and backward over a batch; where there is no wrapper, take the mean of loss and gradients."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        return mean_over_processes(self, loss) if self.is_shared_out else loss

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate as the Trainer does."""
        with self._passing():
            return super().evaluation_loop(*args, **kwargs)

    def prediction_step(self, model: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Predict as the Trainer does; texts take more passes in one process than in another."""
        found = super().prediction_step(model, *args, **kwargs)
        if self.is_shared_out:
            finish_passes(model)
        return found


def _make_room(model: PreTrainedModel) -> None:
    """Put what is on the meta device into memory: under FSDP transformers loads weights in the first process alone."""
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        model._apply(lambda tensor: torch.empty_like(tensor, device="cpu") if tensor.is_meta else tensor)
        model.tie_weights()
