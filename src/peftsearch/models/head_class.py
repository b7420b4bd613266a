"""Which of transformers' classes makes a model for a task: one with a head for labels, or one that writes text."""

from typing import Any

from transformers import (
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForSpeechSeq2Seq,
    AutoModelForTokenClassification,
    PretrainedConfig,
)

from peftsearch.errors import ModelError
from peftsearch.task_head import CAUSAL_LM, PICTURE, SEQUENCE, SPANS, TEXT_TO_TEXT, TOKENS

_OF_TASKS = {
    SEQUENCE: AutoModelForSequenceClassification,
    TOKENS: AutoModelForTokenClassification,
    SPANS: AutoModelForQuestionAnswering,
    TEXT_TO_TEXT: AutoModelForSeq2SeqLM,
    CAUSAL_LM: AutoModelForCausalLM,
    PICTURE: AutoModelForImageClassification,
}
_HEADS = {
    SEQUENCE: "head with labels",
    TOKENS: "head with a label for each token",
    SPANS: "head for spans",
    TEXT_TO_TEXT: "head that writes text",
    CAUSAL_LM: "layer for the next token",
    PICTURE: "head with a class for each picture",
}
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


def class_for_task(name: str, config: PretrainedConfig, task_type: str) -> Any:
    """Choose the auto class that makes a model for a task.

    Args:
        name: of the model, for messages.
        config: of the model.
        task_type: as in `TaskHead`.

    Raises:
        ModelError: if the model is of the other sort, or transformers has no class with that head for its type.
    """
    if bool(config.is_encoder_decoder) != (task_type == TEXT_TO_TEXT):
        kind = "encoder-decoder" if config.is_encoder_decoder else "encoder or decoder"
        raise ModelError(
            f"'{name}' is an {kind} model: encoder-decoders take text-to-text tasks, others take a head with labels."
        )
    if task_type == CAUSAL_LM and _reads_both_ways(config):
        raise ModelError(
            f"'{name}' reads a text in both directions (model type '{config.model_type}'), so that it sees the next "
            "token before it predicts it. Take a decoder, such as Llama, Qwen or GPT-2."
        )
    if missing := _missing_class(config, task_type):
        raise ModelError(
            f"'{name}' cannot be taken for this task: {missing}. Take another model, or search this one in a Trainer "
            "of your own with SearchTrainer (docs/python.md)."
        )
    if task_type == SPANS:
        _check_names(name, config)
    return _OF_TASKS[task_type]


def _reads_both_ways(config: PretrainedConfig) -> bool:
    """Whether a model is an encoder, which transformers also makes with a layer for the next token."""
    return _makes(AutoModelForMaskedLM, config) and not getattr(config, "is_decoder", False)


def _check_names(name: str, config: PretrainedConfig) -> None:
    """Refuse a class for spans that would not find the weights of a pretrained model, as Llama's, whose name differs.

    Raises:
        ModelError: naming both.
    """
    wanted, found = (_prefix(auto_class, config) for auto_class in (AutoModelForQuestionAnswering, AutoModel))
    if wanted != found:
        raise ModelError(
            f"'{name}' cannot be taken for answers in a context: transformers' class for the model type "
            f"'{config.model_type}' looks for weights of the name '{wanted}', but pretrained ones are called "
            f"'{found}', so it would draw all of them at random. Take another model, such as an encoder."
        )


def _prefix(auto_class: Any, config: PretrainedConfig) -> str:
    made = auto_class._model_mapping[type(config)]
    # Funnel has two.
    return (made[0] if isinstance(made, tuple) else made).base_model_prefix


def class_for_plan(config: PretrainedConfig) -> Any:
    """Choose the auto class that makes a model whose sites are of interest: with the head that tasks use, or bare."""
    candidates = (_OF_TASKS[_usual_task(config)], AutoModel, *_OTHERS)
    return next((candidate for candidate in candidates if _makes(candidate, config)), candidates[0])


def missing_class_note(config: PretrainedConfig) -> tuple[str, ...]:
    """Say in a sentence for the user that a model fits no task on the command line, or few; no sentence if it fits."""
    missing = _missing_class(config, _usual_task(config))
    if not missing:
        return ()
    if _makes(AutoModelForCausalLM, config) and not config.is_encoder_decoder and not _reads_both_ways(config):
        return (f"Of this model only the next token is learned on the command line (docs/formats.md): {missing}.",)
    return (f"Only a Trainer of your own can search this model (docs/python.md): {missing}.",)


def _missing_class(config: PretrainedConfig, task_type: str) -> str:
    """Name the class with a head for tasks that a model type lacks, and those that it has; "" if it has that one."""
    wanted = _OF_TASKS[task_type]
    if _makes(wanted, config):
        return ""
    others = [other.__name__ for other in _OTHERS if _makes(other, config)]
    return (
        f"transformers has no class with a {_HEADS[task_type]} ({wanted.__name__}) for the model type "
        f"'{config.model_type}'"
        f"{', only ' + ', '.join(others) if others else ''}"
    )


def _usual_task(config: PretrainedConfig) -> str:
    if config.is_encoder_decoder:
        return TEXT_TO_TEXT
    # What compares texts with pictures, as CLIP does, is read whole.
    is_of_pictures = _makes(AutoModelForImageClassification, config) and not hasattr(config, "text_config")
    return PICTURE if is_of_pictures and not _makes(AutoModelForSequenceClassification, config) else SEQUENCE


def _makes(auto_class: Any, config: PretrainedConfig) -> bool:
    return type(config) in auto_class._model_mapping
