"""Several labels a text from the search to predictions, exports, card and report, with a tiny model."""

import json

import pytest
import torch
from peft import PeftModel
from row_files import write_splits
from sklearn.metrics import f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from peftsearch import errors, evaluate, predict, search
from peftsearch.cli.main import main
from peftsearch.run.dry_run import describe_search
from peftsearch.run.export import run_export
from peftsearch.run.make_config import make_config
from peftsearch.testing import save_tiny

LABELS = ("city", "name")


def sentence(rng):
    """Names are x, cities q; many texts have neither, and some both."""
    words = [rng.choice(("x", "q", "e", "a", "i", "o")) for _ in range(3)]
    return {"text": " ".join(words), "label": [name for name, mark in zip(LABELS, "qx") if mark in words]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Training, validation and test file."""
    return write_splits(tmp_path_factory.mktemp("labels"), sentence, train=64, held=24)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny("bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def found(data, model, tmp_path_factory):
    """A finished search by the default method, beside uniform LoRA."""
    training = {"num_train_epochs": 6, "per_device_train_batch_size": 8, "learning_rate": 1e-2}
    folder = tmp_path_factory.mktemp("run") / "run"
    return search(model=model, data=data, keep="searched", budget="600", output=str(folder), training=training)


@pytest.fixture(scope="module")
def rows(data):
    return [json.loads(line) for line in open(data.split(",")[2], encoding="utf-8")]


def as_flags(sets):
    return [[int(label in own) for label in LABELS] for own in sets]


def test_the_threshold_of_validation_gives_the_labels_of_every_later_answer(found, rows):
    test, threshold = found.metrics["test"], found.metrics["reading"]["threshold"]
    assert found.metrics["metric"] == "label_micro_f1" and 0 < threshold < 1
    answered = predict(found.folder, [{"text": row["text"]} for row in rows]).rows
    given = [row["prediction"] for row in answered]
    assert given == [[name for name in LABELS if row[f"probability_{name}"] >= threshold] for row in answered]
    gold = as_flags(row["label"] for row in rows)
    assert (
        test["value"] == pytest.approx(100 * f1_score(gold, as_flags(given), average="micro")) and test["value"] > 60
    )
    assert evaluate(found.folder) == pytest.approx(test["all"])
    assert any(f"at least {threshold:.4g}" in note for note in found.metrics["notes"])


def test_the_head_starts_below_guessing(found):
    probe = found.metrics["head_probe"]
    # Without biases of the labels' shares it is log 2 and the noise of a fresh head.
    assert probe["loss"] <= probe["fresh_loss"] < 0.72


def probabilities(model, tokenizer, text):
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).logits[0].sigmoid().tolist()


def test_plain_peft_and_the_merged_checkpoint_give_the_same_probabilities(found, rows, model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(model)
    answered = predict(found.folder, [{"text": row["text"]} for row in rows[:4]]).rows
    expected = [[pytest.approx(row[f"probability_{name}"], abs=1e-5) for name in LABELS] for row in answered]
    run_export(found.folder, format="lora", output=tmp_path / "lora")
    base = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
    plain = PeftModel.from_pretrained(base, tmp_path / "lora").eval()
    assert [probabilities(plain, tokenizer, row["text"]) for row in rows[:4]] == expected
    run_export(found.folder, format="merged", output=tmp_path / "merged")
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    assert merged.config.problem_type == "multi_label_classification"
    assert merged.config.id2label == dict(enumerate(LABELS))
    assert [probabilities(merged, tokenizer, row["text"]) for row in rows[:4]] == expected


def test_the_card_tells_the_problem_type_and_the_threshold(found):
    card = (found.folder / "adapter" / "README.md").read_text()
    assert 'problem_type="multi_label_classification"' in card and "pipeline_tag: text-classification" in card
    assert "A text gets each label whose probability is at least" in card
    assert "The epoch was chosen by micro F1" in (found.folder / "report.html").read_text()


def test_predictions_are_lists_in_jsonl_and_texts_where_the_data_had_a_separator(found, tmp_path, capsys):
    data = tmp_path / "new.csv"
    data.write_text("text\nx q e\na\n")
    assert main(["predict", str(found.folder), "--data", str(data), "--output", str(tmp_path / "out.jsonl")]) == 0
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert all(isinstance(row["prediction"], list) for row in written)
    assert list(written[0]) == ["text", "prediction", "probability_city", "probability_name"]
    results = json.loads((found.folder / "results.json").read_text())
    results["reading"] |= {"label_separator": "; ", "threshold": 0.0}
    (tmp_path / "run").mkdir()
    for file in ("config.yaml", "adapter", "origin.json"):
        if (found.folder / file).exists():
            (tmp_path / "run" / file).symlink_to(found.folder / file)
    (tmp_path / "run" / "results.json").write_text(json.dumps(results))
    assert predict(tmp_path / "run", [{"text": "a"}]).rows[0]["prediction"] == "city; name"


def test_a_dry_run_names_the_labels(data, settings):
    shown = describe_search(make_config(settings(data=data, text=None, label=None)))
    assert "labels    2 labels, any number a text: 'city', 'name'" in shown and "metric label_micro_f1" in shown


@pytest.mark.parametrize(
    "family,changes,message",
    [
        ("t5", {}, "has several labels a text, but an encoder-decoder model writes texts"),
        ("bert", {"training": {"class_weights": "balanced"}}, "predicts several labels, which have no class weights"),
    ],
)
def test_settings_that_do_not_fit_are_refused(data, settings, family, changes, message):
    with pytest.raises(errors.DataError, match=message):
        describe_search(make_config(settings(family, data=data, **{"text": None, "label": None} | changes)))
