"""Predictions of a run for rows without labels, against the adapter loaded by peft, a row at a time."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM, AutoModelForSequenceClassification, AutoTokenizer

from peftsearch import predict, train
from peftsearch.cli.main import main
from peftsearch.errors import DataError, RunFolderError, StorageError
from peftsearch.tasks.tables import read_table
from peftsearch.testing.small_runs import small_run

# Of many lengths in no order, so that batches by length must be put back.
_LONG = [" ".join(["it was"] * count + ["great"]) for count in (9, 1, 12, 4)]
TEXTS = ["the film was bad", "good", *_LONG, 'he said "fine", no?']


def rows(texts=TEXTS):
    return [{"id": str(i), "review": text} for i, text in enumerate(texts)]


def table(path: Path, texts=TEXTS, column="review") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["id", column], *([str(i), text] for i, text in enumerate(texts))])
    return path


def trained(tiny_folder, data, folder, family="bert", **changes):
    places = {"model": tiny_folder(family), "reviews": data, "output": folder}
    run = dict(small_run(**places, budget="", method="lora", configuration="lora", **changes))
    run["training"] |= {"num_train_epochs": 1}
    return train(**run)


@pytest.fixture(scope="module")
def finished(reviews, tiny_folder, tmp_path_factory):
    return trained(tiny_folder, reviews, tmp_path_factory.mktemp("predict") / "run")


@torch.no_grad()
def by_peft(run: Path, model: str, texts) -> list[list[float]]:
    """Logits of each text alone, by peft and transformers."""
    size = json.loads((run / "results.json").read_text())["saved"]["num_labels"]
    options = {"num_labels": size, "ignore_mismatched_sizes": True}
    base = AutoModelForSequenceClassification.from_pretrained(model, **options)
    loaded = PeftModel.from_pretrained(base, str(run / "adapter")).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    given = (tokenizer(text, return_tensors="pt", truncation=True, max_length=32) for text in texts)
    return [loaded(**inputs).logits[0].tolist() for inputs in given]


def test_rows_keep_their_order_and_columns_and_get_label_and_probabilities(finished, tiny_folder):
    found = predict(finished.folder, rows(), batch_size=2)
    assert [{"id": row["id"], "review": row["review"]} for row in found.rows] == rows()
    columns = ["id", "review", "prediction", "probability_down", "probability_up"]
    assert [list(row) for row in found.rows] == [columns] * 7
    for row, logits in zip(found.rows, by_peft(finished.folder, tiny_folder("bert"), TEXTS), strict=True):
        shares = torch.tensor(logits).softmax(-1).tolist()
        # Padding changes the last digits.
        assert [row["probability_down"], row["probability_up"]] == pytest.approx(shares, abs=1e-5)
        assert row["prediction"] == ("down", "up")[shares.index(max(shares))]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_holds_the_same_rows(suffix, finished, tmp_path):
    output = tmp_path / "new" / f"out.{suffix}"
    expected = predict(finished.folder, table(tmp_path / "new.csv"))
    expected.write(output)
    read = read_table(output)
    assert [row["prediction"] for row in read] == [row["prediction"] for row in expected.rows]
    assert [float(row["probability_up"]) for row in read] == [row["probability_up"] for row in expected.rows]
    assert [row["review"] for row in read] == TEXTS


def test_the_command_writes_a_file_and_never_over_another(finished, tmp_path, capsys):
    data, output = table(tmp_path / "new.csv"), tmp_path / "out.csv"
    command = ["predict", str(finished.folder), "--data", str(data), "--output", str(output)]
    assert main(command) == 0 and f"{output}: 7 rows" in capsys.readouterr().out
    assert len(read_table(output)) == 7
    assert main(command) == 2 and "exists. Replace it with --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--batch_size", "3"]) == 0


def test_without_an_output_the_rows_go_to_standard_output(finished, tmp_path, capfdbinary):
    data = table(tmp_path / "new.csv", column="words")
    assert main(["predict", str(finished.folder), "--data", str(data), "--text", "words"]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines[0] == "id,words,prediction,probability_down,probability_up" and len(lines) == 8


def test_texts_that_are_cut_are_counted(finished, tmp_path, capsys, caplog):
    # The run keeps 32 tokens, and the tiny tokenizer has one for each letter.
    data = table(tmp_path / "new.csv", ["short", "x" * 40, "x" * 50])
    assert main(["predict", str(finished.folder), "--data", str(data), "--output", str(tmp_path / "o.csv")]) == 0
    assert "3 rows, of which longer than the limit and cut: 2" in capsys.readouterr().out
    assert "2 of 3 examples were longer than 32 tokens" in caplog.text


def test_a_regression_predicts_numbers_where_the_data_is_gone(tiny_folder, tmp_path):
    data = tmp_path / "numbers.csv"
    data.write_text("\n".join(["review,stars", *(f"word {i % 7},{i % 5 + 0.5}" for i in range(60))]) + "\n")
    run = trained(tiny_folder, str(data), tmp_path / "run")
    data.unlink()
    found = predict(run.folder, rows())
    expected = [logits[0] for logits in by_peft(run.folder, tiny_folder("bert"), TEXTS)]
    assert [row["prediction"] for row in found.rows] == pytest.approx(expected, abs=1e-4)
    assert list(found.rows[0]) == ["id", "review", "prediction"]


def test_a_text_model_predicts_labels_with_probabilities_and_numbers_of_its_training(reviews, tiny_folder, tmp_path):
    run = trained(tiny_folder, reviews, tmp_path / "run", family="t5")
    found = predict(run.folder, rows())
    assert {row["prediction"] for row in found.rows} <= {"down", "up"}
    base = AutoModelForSeq2SeqLM.from_pretrained(tiny_folder("t5"))
    model = PeftModel.from_pretrained(base, str(run.folder / "adapter")).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder("t5"))
    source = tokenizer(f"review: {TEXTS[1]}", return_tensors="pt")
    with torch.no_grad():
        # The loss is the mean over the tokens of a label and its end.
        targets = [tokenizer(text_target=label, return_tensors="pt")["input_ids"] for label in "01"]
        likelihoods = [-model(**source, labels=ids).loss * ids.shape[1] for ids in targets]
    assert found.rows[1]["probability_up"] == pytest.approx(float(torch.stack(likelihoods).softmax(0)[1]), rel=1e-3)

    data = tmp_path / "numbers.csv"
    data.write_text("\n".join(["review,stars", *(f"word {i % 7},{i % 3 + 0.5}" for i in range(60))]) + "\n")
    run = trained(tiny_folder, str(data), tmp_path / "numbers", family="t5")
    data.unlink()
    assert {row["prediction"] for row in predict(run.folder, rows()).rows} <= {0.5, 1.5, 2.5}


def test_a_run_of_an_earlier_version_is_read_by_its_data(finished, tmp_path):
    copy = shutil.copytree(finished.folder, tmp_path / "old")
    results = json.loads((copy / "results.json").read_text())
    del results["reading"]
    (copy / "results.json").write_text(json.dumps(results))
    assert predict(copy, rows()) == predict(finished.folder, rows())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"words": "x"}], "the data has no column 'review'. Its columns: words"),
        ([{"review": "a"}, {"review": None}], "column 'review' is null in row 2 of the data"),
        ([{"review": "a", "probability_up": 1}], "has a column 'probability_up', which the predictions would replace"),
        ([], "no rows to predict"),
        (["a"], "must be a file or a list of rows"),
        ({"review": "a"}, "must be a file or a list of rows"),
    ],
)
def test_rows_that_cannot_be_answered_are_refused(given, message, finished):
    with pytest.raises(DataError, match=message):
        predict(finished.folder, given)


def test_other_mistakes_are_named(finished, tmp_path):
    with pytest.raises(DataError, match="--text names 2 columns, but the run was trained on 1: review"):
        predict(finished.folder, rows(), text="review,id")
    found = predict(finished.folder, rows()[:1])
    with pytest.raises(DataError, match="max_new_tokens is 5, but the run has no texts to write"):
        predict(finished.folder, rows(), max_new_tokens=5)
    with pytest.raises(DataError, match=r"suffix is '\.xlsx'"):
        found.write(tmp_path / "out.xlsx")
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(StorageError, match=r"out.csv' exists. Replace it with --overwrite"):
        found.write(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    found.write(tmp_path / "out.csv", overwrite=True)
    assert len(read_table(tmp_path / "out.csv")) == 1
    with pytest.raises(RunFolderError, match=r"Cannot read '.*results.json'"):
        predict(tmp_path, rows())


def test_a_file_is_read_as_the_runs_data_were_as_far_as_that_fits_it(tiny_folder, tmp_path, caplog):
    data = tmp_path / "train.csv"
    lines = [f"schön {i};{'up' if i % 2 else 'down'}" for i in range(24)]
    data.write_text("\n".join(["review;mood", *lines]), encoding="cp1252")
    written = {"text": "review", "label": "mood", "delimiter": ";", "encoding": "cp1252"}
    run = trained(tiny_folder, str(data), tmp_path / "run", **written).folder
    new = [{"review": "schön"}, {"review": "日本"}]
    expected = [row["prediction"] for row in predict(run, new).rows]
    (tmp_path / "new.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in new), encoding="utf-8"
    )
    (tmp_path / "new.csv").write_text("id;review\n1;schön\n2;日本\n", encoding="utf-8")
    (tmp_path / "old.csv").write_text("review;id\nschön;1\n", encoding="cp1252")
    (tmp_path / "tab.csv").write_text("review\tid\nschön\t1\n", encoding="utf-16")
    for name in ("new.jsonl", "new.csv"):
        found = predict(run, tmp_path / name).rows
        assert [row["review"] for row in found] == ["schön", "日本"]
        assert [row["prediction"] for row in found] == expected
    assert "is read as UTF-8, since it is that; the run's data were cp1252" in caplog.text
    assert predict(run, tmp_path / "old.csv").rows[0]["review"] == "schön"
    output = tmp_path / "out.csv"
    given = ["--delimiter", "tab", "--encoding", "utf-16", "--output", str(output)]
    assert main(["predict", str(run), "--data", str(tmp_path / "tab.csv"), *given]) == 0
    assert read_table(output)[0]["review"] == "schön"
