"""The task type of a model, in peft's terms."""

from transformers import PreTrainedModel

_BY_CLASS_NAME = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForCausalLM": "CAUSAL_LM",
    "LMHeadModel": "CAUSAL_LM",
}


def task_type_of(model: PreTrainedModel) -> str | None:
    """Find the task type that peft gives to adapters of such a model; None if peft has no name for it."""
    if model.config.is_encoder_decoder and model.can_generate():
        # peft's class for that name hands texts on to the model, which Whisper does not take.
        return "SEQ_2_SEQ_LM" if model.main_input_name == "input_ids" else None
    name = type(model).__name__
    return next((task_type for end, task_type in _BY_CLASS_NAME.items() if name.endswith(end)), None)
