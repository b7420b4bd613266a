"""The source of an export: a trained model, and how to load the one that it was made from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftsearch.modules.adapted_layer import AdaptedLayer


@dataclass(frozen=True)
class Source:
    """A trained model that is to be exported.

    Args:
        name: of the pretrained model, as the user gave it.
        model: peft's, with one adapter, or the model itself after full fine-tuning; in float32 on the CPU.
        load_base: loads the pretrained model anew, with a task head of the right size.
        load_tokenizer: loads its tokenizer; None where there is none.
    """

    name: str
    model: nn.Module
    load_base: Callable[[], PreTrainedModel]
    load_tokenizer: Callable[[], PreTrainedTokenizerBase | None]

    @property
    def has_adapter(self) -> bool:
        """True if there is an adapter; full fine-tuning has none."""
        return isinstance(self.model, PeftModel)

    @property
    def adapter(self) -> str:
        """Name of the adapter in the model."""
        return self.model.active_adapter

    @property
    def base(self) -> PreTrainedModel:
        """The transformers model inside of peft's."""
        return self.model.get_base_model() if self.has_adapter else self.model

    def layers(self) -> Iterator[tuple[str, AdaptedLayer]]:
        """Yield the name in the pretrained model and the layer of each place with modules of ours."""
        for path, layer in self.base.named_modules():
            if isinstance(layer, AdaptedLayer) and layer.modules_of(self.adapter):
                yield path, layer
