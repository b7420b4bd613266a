"""Answers in contexts from the search to predictions, exports, card and report, with a tiny model."""

import json

import pytest
import torch
from peft import PeftModel
from row_files import write_splits
from safetensors.torch import load_file
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from peftsearch import errors, evaluate, predict, search
from peftsearch.cli.main import main
from peftsearch.run.dry_run import describe_search
from peftsearch.run.export import run_export
from peftsearch.run.make_config import make_config
from peftsearch.testing import save_tiny


def row(rng):
    """The answer is the only run of x in a context that may be longer than the limit."""
    before, after = ("".join(rng.choice("abcde ") for _ in range(rng.randint(1, 30))) for _ in range(2))
    answer = "x" * rng.randint(1, 3)
    return {"question": "x?", "context": before + answer + after, "answer": answer, "answer_start": len(before)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Training, validation and test file."""
    return write_splits(tmp_path_factory.mktemp("spans"), row, train=64, held=16)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny("bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def found(data, model, tmp_path_factory):
    """A finished search by the default method, beside uniform LoRA."""
    training = {"num_train_epochs": 6, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "max_seq_length": 40}
    folder = tmp_path_factory.mktemp("run") / "run"
    return search(model=model, data=data, keep="searched", budget="600", output=str(folder), training=training)


@pytest.fixture(scope="module")
def rows(data):
    return [json.loads(line) for line in open(data.split(",")[2], encoding="utf-8")]


def asked(rows):
    return [{"question": one["question"], "context": one["context"]} for one in rows]


def test_it_learns_and_answers_from_the_context(found, rows):
    test = found.metrics["test"]
    assert found.metrics["metric"] == "span_f1" and set(test["all"]) == {"span_f1", "span_exact_match"}
    answered = predict(found.folder, asked(rows)).rows
    assert all(one["prediction"] in one["context"] and 0 < one["probability"] <= 1 for one in answered)
    right = [one["prediction"] == gold["answer"] for one, gold in zip(answered, rows, strict=True)]
    # Answers are single words, so that an answer is right or has no word in common, unless a letter stands beside it.
    assert test["all"]["span_exact_match"] == pytest.approx(100 * sum(right) / len(right))
    assert evaluate(found.folder) == pytest.approx(test["all"])
    assert found.metrics["reading"]["span_rules"]["can_be_unanswered"] is False


def test_the_head_is_probed_over_all_tokens(found):
    probe = found.metrics["head_probe"]
    assert probe["reads"] == "all tokens" and probe["lowest_loss"] < probe["fresh_loss"]


def starts(model, tokenizer, one):
    encoded = tokenizer(one["question"], one["context"], return_tensors="pt", return_token_type_ids=True)
    with torch.no_grad():
        return model(**encoded).start_logits


def test_plain_peft_and_the_merged_checkpoint_read_question_and_context_alike(found, rows, model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(model)
    run_export(found.folder, format="lora", output=tmp_path / "lora")
    assert any("qa_outputs" in name for name in load_file(tmp_path / "lora" / "adapter_model.safetensors"))
    # peft's wrapper of QUESTION_ANS would drop the ids that tell the question from its context.
    assert json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["task_type"] is None
    base = AutoModelForQuestionAnswering.from_pretrained(model)
    plain = PeftModel.from_pretrained(base, tmp_path / "lora").eval()
    run_export(found.folder, format="merged", output=tmp_path / "merged")
    merged = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "merged").eval()
    short = [one for one in rows if len(one["context"]) < 30][:3]
    for one in short:
        expected = starts(merged, tokenizer, one)
        torch.testing.assert_close(starts(plain, tokenizer, one), expected, rtol=1e-4, atol=1e-4)


def test_adapterhub_is_refused_since_its_head_is_over_texts(found, tmp_path):
    with pytest.raises(errors.ExportError, match="heads over whole texts, not over tokens"):
        run_export(found.folder, format="adapters", output=tmp_path / "out")


def test_card_and_report_speak_of_answers(found):
    card = (found.folder / "adapter" / "README.md").read_text()
    assert "pipeline_tag: question-answering" in card and "AutoModelForQuestionAnswering" in card
    assert "The epoch was chosen by answer F1" in (found.folder / "report.html").read_text()


def test_predictions_are_written_beside_the_rows(found, rows, tmp_path, capsys):
    data = tmp_path / "new.jsonl"
    data.write_text("".join(json.dumps(one | {"id": i}) + "\n" for i, one in enumerate(asked(rows))))
    assert main(["predict", str(found.folder), "--data", str(data), "--output", str(tmp_path / "out.csv")]) == 0
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "question,context,id,prediction,probability" and len(lines) == 17


def test_a_context_without_a_letter_has_no_answer(found):
    assert predict(found.folder, [{"question": "x?", "context": ""}]).rows[0]["prediction"] == ""


@pytest.mark.parametrize(
    "family,changes,message",
    [
        ("t5", {}, "answers that are spans of a context, but an encoder-decoder model writes texts"),
        ("bert", {"training": {"class_weights": "balanced"}}, "predicts spans, which have no class weights"),
        ("bert", {"context_overlap": 100}, "context_overlap is 100, but windows of"),
    ],
)
def test_settings_that_do_not_fit_are_refused(data, settings, family, changes, message):
    with pytest.raises(errors.DataError, match=message):
        describe_search(make_config(settings(family, data=data, **{"text": None, "label": None} | changes)))


def test_a_decoder_takes_answers_too(data, settings):
    shown = describe_search(make_config(settings("gpt2", data=data, text=None, label=None)))
    assert "labels    spans of a context" in shown and "metric span_f1" in shown
