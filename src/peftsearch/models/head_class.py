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
    if missing := _missing_class(config):
        raise ModelError(
            f"'{name}' cannot be taken for this task: {missing}. Take another model, or search this one in a Trainer "
            "of your own with SearchTrainer (docs/python.md)."
        )
    return _class_of_tasks(config)


def class_for_plan(config: PretrainedConfig) -> Any:
    """Choose the auto class that makes a model whose sites are of interest: with the head that tasks use, or bare."""
    candidates = (_class_of_tasks(config), AutoModel, *_OTHERS)
    return next((candidate for candidate in candidates if _makes(candidate, config)), candidates[0])


def missing_class_note(config: PretrainedConfig) -> tuple[str, ...]:
    """Say in a sentence for the user that a model fits no task on the command line; no sentence if it fits."""
    missing = _missing_class(config)
    return (f"Only a Trainer of your own can search this model (docs/python.md): {missing}.",) if missing else ()


def _missing_class(config: PretrainedConfig) -> str:
    """Name the class with a head for tasks that a model type lacks, and those that it has; "" if it has that one."""
    wanted = _class_of_tasks(config)
    if _makes(wanted, config):
        return ""
    others = [other.__name__ for other in _OTHERS if _makes(other, config)]
    head = "head that writes text" if config.is_encoder_decoder else "head with labels"
    return (
        f"transformers has no class with a {head} ({wanted.__name__}) for the model type '{config.model_type}'"
        f"{', only ' + ', '.join(others) if others else ''}"
    )


def _class_of_tasks(config: PretrainedConfig) -> Any:
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForSequenceClassification


def _makes(auto_class: Any, config: PretrainedConfig) -> bool:
    return type(config) in auto_class._model_mapping
