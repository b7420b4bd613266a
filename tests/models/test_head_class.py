"""Which class makes a model for a task, and what is said where transformers has none."""

import pytest
import torch
from text_families import tiny_config
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    CLIPConfig,
)

from peftsearch import plan
from peftsearch.errors import ModelError
from peftsearch.models.head_class import class_for_plan, class_for_task
from peftsearch.models.load import load_model, load_task_model
from peftsearch.task_head import TaskHead
from peftsearch.testing.tiny_models import tiny_tokenizer


def test_a_model_type_without_the_head_is_refused_by_the_name_of_the_class():
    with pytest.raises(ModelError) as caught:
        class_for_task("mine", tiny_config("granite"), "SEQ_CLS")
    words = str(caught.value)
    assert (
        "no class with a head with labels (AutoModelForSequenceClassification) for the model type 'granite'" in words
    )
    assert "only AutoModelForCausalLM" in words and "SearchTrainer" in words


def test_an_encoder_decoder_takes_no_labels():
    with pytest.raises(ModelError, match="encoder-decoders take text-to-text tasks"):
        class_for_task("mine", tiny_config("t5"), "SEQ_CLS")


def test_the_next_token_is_learned_by_decoders_alone():
    assert class_for_task("mine", tiny_config("granite"), "CAUSAL_LM") is AutoModelForCausalLM
    bert = tiny_config("bert")
    with pytest.raises(ModelError, match="'mine' reads a text in both directions .model type 'bert'"):
        class_for_task("mine", bert, "CAUSAL_LM")
    bert.is_decoder = True
    assert class_for_task("mine", bert, "CAUSAL_LM") is AutoModelForCausalLM
    with pytest.raises(ModelError, match="'mine' is an encoder-decoder model"):
        class_for_task("mine", tiny_config("t5"), "CAUSAL_LM")


def test_a_class_for_spans_that_finds_no_pretrained_weights_is_refused():
    # LlamaForQuestionAnswering calls its backbone "transformer", all other classes of Llama "model".
    with pytest.raises(ModelError, match="weights of the name 'transformer', but pretrained ones are called 'model'"):
        class_for_task("mine", tiny_config("llama"), "QUESTION_ANS")
    for model_type in ("bert", "mistral", "gpt2"):
        assert class_for_task("mine", tiny_config(model_type), "QUESTION_ANS") is AutoModelForQuestionAnswering


def test_a_head_that_was_trained_for_spans_is_kept(tmp_path):
    model = AutoModelForQuestionAnswering.from_config(tiny_config("bert"))
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    loaded = load_task_model(str(tmp_path), TaskHead("QUESTION_ANS", 2, None, ("LABEL_0", "LABEL_1"))).model
    torch.testing.assert_close(loaded.qa_outputs.weight, model.qa_outputs.weight)


def test_a_plan_takes_the_class_of_tasks_or_the_bare_model():
    assert class_for_plan(tiny_config("llama")) is AutoModelForSequenceClassification
    assert class_for_plan(tiny_config("granite")) is AutoModel
    assert class_for_plan(tiny_config("vit")) is AutoModelForImageClassification
    # Its two stacks are read whole.
    assert class_for_plan(CLIPConfig()) is AutoModel


@pytest.mark.parametrize("model_type,stack", [("granite", "decoder"), ("whisper", "encoder")])
def test_what_fits_no_task_is_planned_all_the_same(model_type, stack, tmp_path):
    tiny_config(model_type).save_pretrained(tmp_path)
    found = plan(str(tmp_path))
    assert found.sites[f"{stack} value"] == 2
    note = "only the next token is learned" if model_type == "granite" else "Only a Trainer of your own"
    assert note in found.notes[-1] and model_type in found.notes[-1]
    with pytest.raises(ModelError, match="no class with a head"):
        load_model(str(tmp_path), num_labels=None if model_type == "whisper" else 2)


def test_a_model_of_pictures_takes_no_texts(tmp_path):
    tiny_config("vit").save_pretrained(tmp_path)
    assert plan(str(tmp_path)).notes == ()
    with pytest.raises(ModelError, match="no class with a head with labels.*only AutoModelForImageClassification"):
        load_model(str(tmp_path), num_labels=2)


def test_a_plan_says_what_is_left_out(tmp_path):
    tiny_config("mixtral").save_pretrained(tmp_path)
    (note,) = plan(str(tmp_path)).notes
    assert "routed experts (49,152 parameters" in note
