"""The source of an export: a trained model, and functions that load its base model and what makes its inputs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from peft import PeftModel
from torch import nn
from transformers import BaseImageProcessor, PreTrainedModel, PreTrainedTokenizerBase

from peftsearch.exports.recorded_training import RecordedTraining
from peftsearch.modules.adapted_layer import AdaptedLayer


@dataclass(frozen=True)
class Source:
    """A trained model that is to be exported.

    Args:
        name: name of the pretrained model, as the user gave it.
        model: a `PeftModel` with one adapter, or the model itself after full fine-tuning; in float32 on the CPU.
        load_base: loads the pretrained model again, with a task head of the right size.
        load_tokenizer: loads its tokenizer, or its image processor if it reads pictures; returns None if there is
            none.
        load_training: reads how the run trained a language model; returns None for an adapter alone.
        notes: for the user, whatever the format.
    """

    name: str
    model: nn.Module
    load_base: Callable[[], PreTrainedModel]
    load_tokenizer: Callable[[], PreTrainedTokenizerBase | BaseImageProcessor | None]
    load_training: Callable[[], RecordedTraining | None] = lambda: None
    notes: tuple[str, ...] = ()

    @property
    def has_adapter(self) -> bool:
        """Whether there is an adapter; after full fine-tuning there is none."""
        return isinstance(self.model, PeftModel)

    @property
    def peft_model(self) -> PeftModel:
        """The model as peft's; only if there is an adapter."""
        assert isinstance(self.model, PeftModel)
        return self.model

    @property
    def adapter(self) -> str:
        """The name of the adapter in the model."""
        return self.peft_model.active_adapters[0]

    @property
    def base(self) -> PreTrainedModel:
        """The model of transformers, inside of peft's if there is an adapter."""
        return cast(PreTrainedModel, self.peft_model.get_base_model() if self.has_adapter else self.model)

    def layers(self) -> Iterator[tuple[str, AdaptedLayer]]:
        """Yield each layer with modules of ours, after its name in the pretrained model."""
        for path, layer in self.base.named_modules():
            if isinstance(layer, AdaptedLayer) and layer.modules_of(self.adapter):
                yield path, layer
