"""Which of transformers' classes makes a model for a task: one with a head for labels, or one that writes text."""

from typing import Any

from transformers import (
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForSpeechSeq2Seq,
    PretrainedConfig,
)

from peftsearch.errors import ModelError

# In a Trainer of one's own, a model of any of these can be searched.
_OTHERS = (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForImageClassification,
    AutoModelForAudioClassification,
    AutoModelForSpeechSeq2Seq,
)


def class_for_task(name: str, config: PretrainedConfig, *, num_labels: int | None) -> Any:
    """Choose the auto class that makes a model for a task.

    Args:
        name: of the model, for messages.
        config: of the model.
        num_labels: outputs of a classification or regression head; None for text-to-text.

    Raises:
        ModelError: if the model is of the other sort, or transformers has no class with that head for its type.
    """
    if bool(config.is_encoder_decoder) != (num_labels is None):
        kind = "encoder-decoder" if config.is_encoder_decoder else "encoder or decoder"
        raise ModelError(
            f"'{name}' is an {kind} model: encoder-decoders take text-to-text tasks, others take a head with labels."
        )
    wanted = AutoModelForSeq2SeqLM if num_labels is None else AutoModelForSequenceClassification
    if not _makes(wanted, config):
        others = [other.__name__ for other in _OTHERS if _makes(other, config)]
        what = "text-to-text tasks" if num_labels is None else "a head with labels"
        raise ModelError(
            f"transformers has no class for {what} for the model type '{config.model_type}' of '{name}': "
            f"{wanted.__name__} does not know it{', only ' + ', '.join(others) if others else ''}. Take another model "
            "for this task, or search this one in a Trainer of your own with SearchTrainer (docs/python.md)."
        )
    return wanted


def class_for_plan(config: PretrainedConfig) -> Any:
    """Choose the auto class that makes a model whose sites are of interest: with the head that tasks use, or bare."""
    wanted = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForSequenceClassification
    candidates = (wanted, AutoModel, *_OTHERS)
    return next((candidate for candidate in candidates if _makes(candidate, config)), wanted)


def _makes(auto_class: Any, config: PretrainedConfig) -> bool:
    return type(config) in auto_class._model_mapping
