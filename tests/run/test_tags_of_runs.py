"""Runs on tags: a search, predictions, exports and the report of a model that reads names off their first letter."""

import json

import pytest
import torch
from peft import PeftModel
from row_files import write_splits
from safetensors.torch import load_file
from seqeval.metrics import f1_score
from transformers import AutoModelForTokenClassification, AutoTokenizer

from peftsearch import errors, evaluate, predict, search
from peftsearch.cli.main import main
from peftsearch.run.dry_run import describe_search
from peftsearch.run.export import run_export
from peftsearch.run.make_config import make_config
from peftsearch.testing import save_tiny

TAGS = ("O", "B-city", "I-city", "B-name")


def sentence(rng):
    """Names begin with x, cities with q; a second q goes on with the first."""
    words = [rng.choice(("xa", "xo", "qa", "qo", "the", "was", "in", "it")) for _ in range(rng.randint(2, 6))]
    tags = []
    for word in words:
        kind = {"x": "B-name", "q": "B-city"}.get(word[0], "O")
        tags.append("I-city" if kind == "B-city" and tags and tags[-1].endswith("city") else kind)
    return {"tokens": words, "tags": tags}


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Training, validation and test file."""
    return write_splits(tmp_path_factory.mktemp("names"), sentence, train=64, held=16)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model whose weights are the same whatever ran before."""
    torch.manual_seed(0)
    return str(save_tiny("bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def found(names, model, tmp_path_factory):
    """A finished search by the default method, beside uniform LoRA."""
    training = {"num_train_epochs": 6, "per_device_train_batch_size": 8, "learning_rate": 1e-2}
    return search(
        model=model,
        data=names,
        keep="searched",
        budget="600",
        output=str(tmp_path_factory.mktemp("tags") / "run"),
        training=training,
    )


@pytest.fixture(scope="module")
def rows(names):
    return [json.loads(line) for line in open(names.split(",")[2], encoding="utf-8")]


def test_it_learns_and_scores_as_seqeval_does(found, rows):
    test = found.metrics["test"]
    assert found.metrics["metric"] == "entity_f1" and set(test["all"]) == {
        "entity_f1",
        "entity_precision",
        "entity_recall",
        "token_accuracy",
    }
    answered = predict(found.folder, [{"tokens": row["tokens"]} for row in rows]).rows
    predicted = [row["prediction"] for row in answered]
    assert [len(tags) for tags in predicted] == [len(row["tokens"]) for row in rows]
    gold = [row["tags"] for row in rows]
    assert test["value"] == pytest.approx(100 * f1_score(gold, predicted)) and test["value"] > 20
    assert evaluate(found.folder) == pytest.approx(test["all"])
    assert set(test["by_entity"]) == {"city", "name"}
    spans = sum(tag.startswith("B-") for tags in gold for tag in tags)
    assert sum(score["spans"] for score in test["by_entity"].values()) == spans


def plain_tags(model, tokenizer, words):
    """Tags by a loop of its own over words: the label of the first token of each."""
    encoded = tokenizer([w if i == 0 else f" {w}" for i, w in enumerate(words)], is_split_into_words=True,
                        return_tensors="pt")  # fmt: skip
    with torch.no_grad():
        likeliest = model(**{k: v for k, v in encoded.items() if k != "token_type_ids"}).logits[0].argmax(-1).tolist()
    ids = encoded.word_ids(0)
    return [model.config.id2label[likeliest[ids.index(word)]] for word in range(len(words))]


def test_plain_peft_and_the_merged_checkpoint_give_the_same_tags(found, rows, model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(model)
    expected = [row["prediction"] for row in predict(found.folder, [{"tokens": row["tokens"]} for row in rows]).rows]
    names = dict(enumerate(TAGS))
    base = AutoModelForTokenClassification.from_pretrained(model, num_labels=len(TAGS), id2label=names)
    run_export(found.folder, format="lora", output=tmp_path / "lora")
    assert any("classifier" in name for name in load_file(tmp_path / "lora" / "adapter_model.safetensors"))
    assert json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["task_type"] == "TOKEN_CLS"
    plain = PeftModel.from_pretrained(base, tmp_path / "lora").eval()
    assert [plain_tags(plain, tokenizer, row["tokens"]) for row in rows] == expected
    run_export(found.folder, format="merged", output=tmp_path / "merged")
    merged = AutoModelForTokenClassification.from_pretrained(tmp_path / "merged").eval()
    assert merged.config.id2label == names
    assert [plain_tags(merged, tokenizer, row["tokens"]) for row in rows] == expected


def test_adapterhub_is_refused_since_its_head_is_over_texts(found, tmp_path):
    with pytest.raises(errors.ExportError, match="heads over whole texts, not over tokens"):
        run_export(found.folder, format="adapters", output=tmp_path / "out")


def test_card_and_report_speak_of_tokens(found):
    card = (found.folder / "adapter" / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card and "AutoModelForTokenClassification" in card
    assert "is_split_into_words=True)" in card
    city = found.metrics["test"]["by_entity"]["city"]
    scores = " | ".join(f"{city[name]:.2f}" for name in ("precision", "recall", "f1"))
    assert f"| city | {city['spans']} | {scores} |" in card
    assert "num_labels=4" in card and "Token Classification" in card and "0 = O, 1 = B-city" in card
    page = (found.folder / "report.html").read_text()
    assert "Scores by type of entity on the test split, in percent" in page and "F1, uniform LoRA" in page


def test_predictions_are_lists_in_jsonl_and_joined_in_csv(found, tmp_path, capsys):
    data = tmp_path / "new.conll"
    data.write_text("the\nxa\n\nqa\nqo\nwas\n")
    assert main(["predict", str(found.folder), "--data", str(data), "--output", str(tmp_path / "out.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["tokens"] for row in rows] == [["the", "xa"], ["qa", "qo", "was"]]
    assert all(len(row["prediction"]) == len(row["tokens"]) and set(row["prediction"]) <= set(TAGS) for row in rows)
    assert main(["predict", str(found.folder), "--data", str(data), "--output", str(tmp_path / "out.csv")]) == 0
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines == [
        "tokens,prediction",
        *(f"{' '.join(row['tokens'])},{' '.join(row['prediction'])}" for row in rows),
    ]


def test_words_beyond_the_limit_are_outside(found):
    (row,) = predict(found.folder, [{"tokens": ["xa"] * 100}]).rows
    assert len(row["prediction"]) == 100 and set(row["prediction"][60:]) == {"O"}


def test_what_cannot_be_predicted_is_refused(found):
    with pytest.raises(errors.DataError, match="tokens in column 'tokens' are 'xa qa' in row 1 of the data, but must"):
        predict(found.folder, [{"tokens": "xa qa"}])
    with pytest.raises(errors.DataError, match="has a column 'prediction', which the predictions would replace"):
        predict(found.folder, [{"tokens": ["xa"], "prediction": ["O"]}])


def test_tags_that_are_there_stay_beside_the_predictions(found, rows, tmp_path):
    answered = predict(found.folder, rows).rows
    assert [(row["tokens"], row["tags"]) for row in answered] == [(row["tokens"], row["tags"]) for row in rows]
    bare = predict(found.folder, [{"tokens": row["tokens"]} for row in rows]).rows
    assert [row["prediction"] for row in answered] == [row["prediction"] for row in bare]
    data = tmp_path / "gold.conll"
    data.write_text("the O\nxa B-name\n")
    (row,) = predict(found.folder, data).rows
    assert row["tags"] == ["O", "B-name"] and len(row["prediction"]) == 2


def test_a_dry_run_names_the_tags(names, settings):
    shown = describe_search(make_config(settings(data=names, text=None, label=None)))
    assert "labels    4 tags: 'O', 'B-city', 'I-city', 'B-name'" in shown and "metric entity_f1" in shown


@pytest.mark.parametrize(
    "family,changes,message",
    [
        ("t5", {}, "has a tag for each token, but an encoder-decoder model writes texts"),
        ("bert", {"training": {"class_weights": "balanced"}}, "predicts tags, which have no class weights"),
        ("bert", {"goal": "regression"}, "goal is 'regression', but the task format tokens predicts tags"),
        ("bert", {"metric": "accuracy"}, "'accuracy' is one of classes, but the labels of names.* are tags"),
        ("bert", {"task_format": "texts", "text": "tokens", "label": "tags"}, "is a list in row 1 of train.jsonl"),
    ],
)
def test_settings_that_do_not_fit_are_refused(names, settings, family, changes, message):
    with pytest.raises(errors.DataError, match=message):
        describe_search(make_config(settings(family, data=names, **{"text": None, "label": None} | changes)))
