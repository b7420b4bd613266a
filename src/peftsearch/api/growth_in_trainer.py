"""Methods that grow a configuration by gradients, inside of a user's Trainer."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import Trainer

from peftsearch.api.attach import temporarily_attached
from peftsearch.api.trainer_copy import copy_for, prepare_search
from peftsearch.api.trainer_loss import TrainerLoss
from peftsearch.models.head import TaskModel
from peftsearch.run.supernets import copy_head, head_of
from peftsearch.searches.growing import draw_parts, put_weights, read_weights, require_modules, supernet_of
from peftsearch.searches.growth import Gradients, Grower, Grown, Stage
from peftsearch.space import Site
from peftsearch.training.callbacks import ShowProgress
from peftsearch.training.mean_gradients import MeanGradients, without_dropout

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainerGrowth:
    """A search by growth with the loss, the data and the short trainings of a user's Trainer.

    Args:
        trainer: the user's; it and its model stay as they are.
        loaded: its model.
        sites: every site of the model.
        grower: the method, for one budget.
        folder: holds the logs of the trainings between stages.
    """

    trainer: Trainer
    loaded: TaskModel
    sites: tuple[Site, ...]
    grower: Grower
    folder: Path

    def run(self) -> Grown:
        """Add modules stage by stage, with a short training after each but the last.

        Returns:
            what was found, as its training starts: without effect.

        Raises:
            NothingFoundError: if no module is worth its parameters.
        """
        self._tell_of_head()
        held: Grown = Grown()
        head: Mapping[str, torch.Tensor] = {}
        for number, stage in enumerate(self.grower.stages()):
            held = self._grown(held, head, budget=stage.budget)
            if stage.steps:
                held, head = self._trained(held, head, number, stage)
        require_modules(held)
        return self.grower.restart(held)

    def _tell_of_head(self) -> None:
        if self.loaded.head:
            logger.warning(
                "The search looks at the gradients of the task head (%s) as it is. If it is newly drawn, fit it "
                "first, as docs/python.md shows: `peftsearch search` does so.",
                ", ".join(self.loaded.head),
            )

    def _grown(self, held: Grown, head: Mapping[str, torch.Tensor], *, budget: int) -> Grown:
        candidates = self.grower.candidates(held.configuration)
        with temporarily_attached(self.loaded, candidates, self.sites) as model:
            copy_head(head, model)
            supernet = supernet_of(model, candidates, self.sites)
            with self._gradients(model) as gradients:
                return self.grower.grow(supernet, held, gradients, budget=budget)

    def _trained(
        self, held: Grown, head: Mapping[str, torch.Tensor], number: int, stage: Stage
    ) -> tuple[Grown, Mapping[str, torch.Tensor]]:
        """What is there with its weights and the task head, after the training that follows a stage."""
        with temporarily_attached(self.loaded, held.configuration, self.sites) as model:
            put_weights(model, held, self.sites)
            copy_head(head, model)
            search = copy_for(model, self.trainer)
            log, progress = self.folder / "stages" / str(number) / "log.jsonl", ShowProgress(f"stage {number + 1}", {})
            prepare_search(search, num_steps=stage.steps, log=log, progress=progress)
            search.train()
            return read_weights(model, held.configuration, self.sites), head_of(model)

    @contextmanager
    def _gradients(self, model: PeftModel) -> Iterator[tuple[Gradients, Gradients]]:
        """Gradients over the examples of each pass, the same in every stage; then the model is in its mode again."""
        trainer, args = copy_for(model, self.trainer), self.trainer.args
        any_model: Any = self.loaded.model
        was_training, was_checkpointing = any_model.training, any_model.is_activation_checkpointing
        # Where evaluation casts the model, the Trainer leaves it on the CPU up to a training.
        if (args.fp16_full_eval or args.bf16_full_eval) and not trainer.is_model_parallel:
            model.to(args.device)
        without_dropout(model, gradient_checkpointing=bool(args.activation_checkpointing))
        first, second = draw_parts(len(trainer.train_dataset), self.grower.num_examples, args.seed)
        try:
            loss = TrainerLoss(trainer)
            yield MeanGradients(loss, first), MeanGradients(loss, second)
        finally:
            any_model.train(was_training)
            if args.activation_checkpointing and not was_checkpointing:
                any_model.activation_checkpointing_disable()
                any_model.disable_input_require_grads()
