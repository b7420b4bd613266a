"""Runs on texts to write: a search, texts for new rows, scores by hand, exports and the report of a tiny T5."""

import json
import random
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from sacrebleu import corpus_chrf
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from peftsearch import errors, evaluate, predict, search
from peftsearch.cli.main import main
from peftsearch.files import read_rows
from peftsearch.run.dry_run import describe_search
from peftsearch.run.export import run_export
from peftsearch.run.make_config import make_config
from peftsearch.tasks import text_writing
from peftsearch.testing import save_tiny

METRICS = {"loss", "perplexity", "next_token_accuracy", "exact_text", "rouge_l", "chrf"}


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """Training, validation and test file: the text to write is one letter, which the source repeats."""
    rng, folder = random.Random(0), tmp_path_factory.mktemp("letters")
    paths = []
    for name, size in (("train", 48), ("valid", 8), ("test", 8)):
        rows = [{"source": letter * 3, "target": f"{letter}<b>"} for letter in rng.choices("abcd", k=size)]
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(str(path))
    return ",".join(paths)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny("t5", tmp_path_factory.mktemp("t5")))


@pytest.fixture(scope="module")
def found(letters, model, tmp_path_factory):
    """A finished search by the default method, beside uniform LoRA."""
    training = {"num_train_epochs": 8, "per_device_train_batch_size": 8, "learning_rate": 3e-2, "max_new_tokens": 6}
    return search(
        model=model,
        data=letters,
        keep="searched",
        budget="4000",
        output=str(tmp_path_factory.mktemp("texts") / "run"),
        training=training,
    )


@pytest.fixture(scope="module")
def rows(letters):
    return read_rows(Path(letters.split(",")[2]))


@pytest.fixture(scope="module")
def written(found, rows):
    return [row["prediction"] for row in predict(found.folder, [{"source": row["source"]} for row in rows]).rows]


def test_it_learns_by_the_loss_and_writes_at_the_end(found, rows, written):
    metrics = found.metrics
    assert metrics["metric"] == metrics["selection_metric"] == "loss"
    # Texts are written for the test split alone.
    assert set(metrics["validation"]["all"]) == {"loss", "perplexity", "next_token_accuracy"}
    assert set(metrics["test"]["all"]) == METRICS
    # Random guessing among the 300 tokens has a loss of 5.7.
    assert metrics["test"]["value"] < 3
    targets = [row["target"] for row in rows]
    assert metrics["test"]["all"]["exact_text"] == 100 * sum(map(str.__eq__, written, targets)) / len(rows)
    assert metrics["test"]["all"]["chrf"] == pytest.approx(corpus_chrf(written, [targets]).score)
    assert evaluate(found.folder) == pytest.approx(metrics["test"]["all"])


def test_epochs_are_logged_without_metrics_of_texts(found):
    logged = {name for row in read_rows(found.folder / "training" / "seed-0" / "log.jsonl") for name in row}
    assert "validation_loss" in logged and "validation_chrf" not in logged


def test_plain_peft_and_the_merged_checkpoint_write_the_same(found, rows, written, model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(model)
    run_export(found.folder, format="lora", output=tmp_path / "lora")
    plain = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(model), tmp_path / "lora").eval()
    run_export(found.folder, format="merged", output=tmp_path / "merged")
    merged = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "merged").eval()
    for one in (plain, merged):
        found_texts = []
        for row in rows:
            ids = one.generate(**tokenizer(row["source"], return_tensors="pt"), max_new_tokens=6, do_sample=False)
            found_texts.append(tokenizer.decode(ids[0], skip_special_tokens=True).strip())
        assert found_texts == written


def test_the_report_shows_texts_before_and_after_and_every_metric(found, rows, written):
    record = json.loads((found.folder / "samples.json").read_text())
    assert (record["name"], record["seed"], record["examples"]) == ("searched", 0, 8)
    samples = record["samples"]
    assert [s["read"] for s in samples] == [row["source"] for row in rows[:5]]
    assert [s["wanted"] for s in samples] == [row["target"] for row in rows[:5]]
    assert [s["after"] for s in samples] == [" ".join(text.split()) for text in written[:5]]
    assert [s["before"] for s in samples] != [s["after"] for s in samples]
    page = (found.folder / "report.html").read_text()
    assert "What it writes" in page and f"{rows[0]['source'][0]}&lt;b&gt;" in page and "a<b>" not in page
    assert all(title in page for title in ("ROUGE-L", "chrF", "exact text", "truncated targets"))
    card = (found.folder / "adapter" / "README.md").read_text()
    assert "Other metrics of this one on the test split: perplexity, lower is better" in card
    # Texts of the data are not published.
    assert "&lt;b" not in card and "<b" not in card


def test_predict_takes_other_columns_and_keeps_the_rows(found, written, rows, tmp_path, capsys):
    path = tmp_path / "new.csv"
    path.write_text("n,said\n" + "".join(f"{i},{row['source']}\n" for i, row in enumerate(rows)))
    assert main(["predict", str(found.folder), "--data", str(path), "--text", "said"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header == "n,said,prediction" and len(lines) == len(rows)


def test_predict_writes_as_many_tokens_as_it_is_asked_for(found, rows, written, model, tmp_path, capsys):
    given = [{"source": row["source"]} for row in rows]
    short = [row["prediction"] for row in predict(found.folder, given, max_new_tokens=2).rows]
    assert short != written and all(whole.startswith(text) for text, whole in zip(short, written, strict=True))
    data = tmp_path / "new.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in given))
    command = ["predict", str(found.folder), "--data", str(data), "--output", str(tmp_path / "out.jsonl")]
    assert main([*command, "--max_new_tokens", "2"]) == 0
    assert [row["prediction"] for row in read_rows(tmp_path / "out.jsonl")] == short
    assert main([*command, "--max_new_tokens", "129", "--overwrite"]) == 2
    assert "max_new_tokens is 129, but the model takes at most 128 tokens" in capsys.readouterr().err
    assert main([*command, "--max_new_tokens", "-1", "--overwrite"]) == 2
    assert "max_new_tokens is -1, but must be 0 or more" in capsys.readouterr().err


def test_a_metric_of_texts_that_selects_is_computed_for_every_epoch(letters, model, tmp_path, monkeypatch):
    calls = []
    original = text_writing.write_texts
    monkeypatch.setattr(text_writing, "write_texts", lambda *a, **k: calls.append(1) or original(*a, **k))
    training = {"num_train_epochs": 2, "learning_rate": 1e-2, "max_new_tokens": 2, "head_start": "fresh"}
    run = search(
        model=model, data=letters, metric="chrf", budget="2000", baseline=False, verify=False, method="pursuit",
        output=str(tmp_path / "run"), training=training,
    )  # fmt: skip
    assert run.metrics["selection_metric"] == "chrf" and "chrf" in run.metrics["validation"]["all"]
    # Two epochs and the proof on validation, the test split, and samples before and after.
    assert len(calls) == 6


def _config(letters, model, **training):
    return make_config({"model": model, "data": letters, "budget": "2000", "training": training})


def test_a_dry_run_says_what_is_written(letters, model):
    described = describe_search(_config(letters, model, max_new_tokens=7))
    assert "labels    texts of 1 to 1 words, written with up to 7 tokens" in described


def test_limits_that_do_not_fit_are_refused(letters, model, tmp_path):
    with pytest.raises(errors.DataError, match="max_target_length is 500, but the model takes at most 128 tokens"):
        describe_search(_config(letters, model, max_target_length=500))
    path = tmp_path / "classes.csv"
    path.write_text("text,label\n" + "".join(f"t{i},{'ab'[i % 2]}\n" for i in range(40)))
    with pytest.raises(errors.DataError, match="max_new_tokens is 7, but the task has no texts to write"):
        describe_search(_config(str(path), model, max_new_tokens=7))


def test_class_weights_are_refused(letters, model):
    with pytest.raises(errors.DataError, match="predicts texts, which have no class weights"):
        describe_search(_config(letters, model, class_weights="balanced"))


def test_an_encoder_is_refused_in_words(letters, tmp_path):
    with pytest.raises(errors.DataError, match="learns with an encoder-decoder, such as T5 or BART"):
        describe_search(_config(letters, str(save_tiny("bert", tmp_path / "bert"))))


def test_bart_learns_prompts_with_completions(letters, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "prompts.jsonl"
    text = Path(letters.split(",")[0]).read_text()
    path.write_text(text.replace('"source"', '"prompt"').replace('"target"', '"completion"'))
    run = search(
        model=str(save_tiny("bart", tmp_path / "bart")), data=str(path), budget="2000", baseline=False,
        output=str(tmp_path / "run"), training={"num_train_epochs": 1, "learning_rate": 1e-2, "max_new_tokens": 3},
    )  # fmt: skip
    assert set(run.metrics["test"]["all"]) == METRICS
