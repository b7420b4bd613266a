"""Runs on pictures: a search, predictions, exports, card and report of a model that tells dark pictures from light."""

import csv
import json
import shutil

import pandas
import pytest
import torch
from peft import PeftModel
from PIL import Image
from shades import SHADES, write_splits
from transformers import AutoImageProcessor, AutoModelForImageClassification

from peftsearch import errors, evaluate, predict, search
from peftsearch.cli.main import main
from peftsearch.run.dry_run import describe_search
from peftsearch.run.export import run_export
from peftsearch.run.make_config import make_config
from peftsearch.testing import save_tiny

LABELS = sorted(SHADES)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data") / "shades")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny("vit", tmp_path_factory.mktemp("vit")))


@pytest.fixture(scope="module")
def found(pictures, model, tmp_path_factory):
    """A finished search by the default method, beside uniform LoRA, checked in a new process."""
    training = {"num_train_epochs": 4, "per_device_train_batch_size": 8, "learning_rate": 1e-2}
    return search(
        model=model,
        data=str(pictures),
        keep="searched",
        budget="400",
        output=str(tmp_path_factory.mktemp("pictures") / "run"),
        training=training,
    )


@pytest.fixture(scope="module")
def test_paths(pictures):
    return sorted((pictures / "test").rglob("*.png"))


def plain_classes(model, processor, paths):
    """Classes by a loop of its own over pictures."""
    classes = []
    for path in paths:
        inputs = processor(Image.open(path).convert("RGB"), return_tensors="pt")
        with torch.no_grad():
            classes.append(LABELS[int(model.eval()(**inputs).logits.argmax())])
    return classes


def test_it_learns_and_scores_the_pictures_that_it_predicts(found, pictures, test_paths):
    answered = predict(found.folder, pictures / "test").rows
    assert [row["image"] for row in answered] == [str(p.relative_to(pictures / "test")) for p in test_paths]
    right = [row["prediction"] == row["label"] for row in answered]
    assert found.metrics["test"]["value"] == pytest.approx(100 * sum(right) / len(right)) and sum(right) > 12
    assert evaluate(found.folder)["accuracy"] == pytest.approx(found.metrics["test"]["value"])
    assert all(row["probability_dark"] + row["probability_light"] == pytest.approx(1, abs=1e-6) for row in answered)
    assert 0 < found.metrics["parameters"] <= 400


def test_plain_peft_and_the_merged_checkpoint_give_the_same_classes(found, model, pictures, test_paths, tmp_path):
    expected = [row["prediction"] for row in predict(found.folder, pictures / "test").rows]
    run_export(found.folder, format="lora", output=tmp_path / "lora")
    base = AutoModelForImageClassification.from_pretrained(model, num_labels=2)
    # The image processor lies beside the adapter.
    processor = AutoImageProcessor.from_pretrained(found.folder / "adapter")
    plain = PeftModel.from_pretrained(base, tmp_path / "lora")
    assert plain_classes(plain, processor, test_paths) == expected
    run_export(found.folder, format="merged", output=tmp_path / "merged")
    merged = AutoModelForImageClassification.from_pretrained(tmp_path / "merged")
    assert merged.config.id2label == dict(enumerate(LABELS))
    processor = AutoImageProcessor.from_pretrained(tmp_path / "merged")
    assert plain_classes(merged, processor, test_paths) == expected


def test_an_adapter_alone_is_exported_though_its_model_has_a_head_of_another_size(found, model, tmp_path):
    with_head = AutoModelForImageClassification.from_pretrained(model, num_labels=7)
    with_head.save_pretrained(tmp_path / "vit")
    shutil.copy(f"{model}/preprocessor_config.json", tmp_path / "vit")
    run_export(found.folder / "adapter", format="merged", output=tmp_path / "merged", model=str(tmp_path / "vit"))
    assert AutoModelForImageClassification.from_pretrained(tmp_path / "merged").config.num_labels == 2
    assert (tmp_path / "merged" / "preprocessor_config.json").is_file()


def test_formats_of_language_models_are_refused(found, tmp_path):
    with pytest.raises(
        errors.ExportError, match="its task is of no type that peft names, and Axolotl trains causal language models"
    ):
        run_export(found.folder, format="axolotl", output=tmp_path / "out")
    with pytest.raises(errors.ExportError, match="models of the types bert, roberta, t5, llama, not for"):
        run_export(found.folder, format="adapters", output=tmp_path / "out")


def test_the_card_speaks_of_pictures(found):
    card = (found.folder / "adapter" / "README.md").read_text()
    assert "pipeline_tag: image-classification" in card and "0 = dark, 1 = light" in card
    assert "AutoModelForImageClassification" in card and "num_labels=2, ignore_mismatched_sizes=True" in card


def test_a_table_of_paths_and_a_folder_without_classes_are_predicted(found, pictures, test_paths, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    for path in test_paths[:3]:
        shutil.copy(path, new / path.name)
    table = tmp_path / "new.csv"
    table.write_text("id,file\n" + "".join(f"{i},new/{p.name}\n" for i, p in enumerate(test_paths[:3])))
    expected = [row["prediction"] for row in predict(found.folder, pictures / "test").rows[:3]]
    assert main(["predict", str(found.folder), "--data", str(table), "--text", "file",
                 "--output", str(tmp_path / "out.csv")]) == 0  # fmt: skip
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == expected
    assert [row["file"] for row in rows] == [f"new/{path.name}" for path in test_paths[:3]]
    assert [row["prediction"] for row in predict(found.folder, new).rows] == expected
    given = [{"image": str(path)} for path in test_paths[:3]]
    assert [row["prediction"] for row in predict(found.folder, given).rows] == expected


def test_pictures_in_rows_get_the_classes_of_their_files(found, pictures, test_paths, tmp_path):
    expected = [row["prediction"] for row in predict(found.folder, pictures / "test").rows[:3]]
    given = [
        {"image": test_paths[0].read_bytes()},
        {"image": {"bytes": test_paths[1].read_bytes(), "path": "b.png"}},
        {"image": Image.open(test_paths[2])},
    ]
    answered = predict(found.folder, given)
    assert [row["prediction"] for row in answered.rows] == expected
    # Text files hold the number of bytes; parquet holds the pictures, so that it can be predicted again.
    answered.write(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        shown = [row["image"] for row in csv.DictReader(file)]
    size = f"{test_paths[0].stat().st_size:,} bytes"
    assert shown[0] == size and json.loads(shown[1])["path"] == "b.png"
    with pytest.raises(errors.DataError, match="can't be written as parquet"):
        answered.write(tmp_path / "out.parquet")
    predict(found.folder, given[:1]).write(tmp_path / "bytes.parquet")
    table = pandas.read_parquet(tmp_path / "bytes.parquet").drop(columns=["probability_dark", "probability_light"])
    table.rename(columns={"prediction": "before"}).to_parquet(tmp_path / "again.parquet")
    (again,) = predict(found.folder, tmp_path / "again.parquet").rows
    assert again["prediction"] == again["before"]
    with pytest.raises(errors.DataError, match=r"The picture in the table \(row 2 of the data\) is none"):
        predict(found.folder, [given[0], {"image": b"broken"}])


def test_what_cannot_be_predicted_is_named_with_its_row(found, tmp_path):
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(errors.DataError, match=r"a.png' \(row 1 of the data\) is none"):
        predict(found.folder, [{"image": str(tmp_path / "a.png")}])
    with pytest.raises(errors.DataError, match="'https://x.org/a.png' in column 'image' of row 1 of .* is a URL"):
        predict(found.folder, [{"image": "https://x.org/a.png"}])
    with pytest.raises(errors.DataError, match="is null in row 1"):
        predict(found.folder, [{"image": None}])


def test_the_run_goes_on_where_its_pictures_have_moved(found, pictures, tmp_path):
    moved = shutil.copytree(pictures, tmp_path / "shades")
    split = json.loads((found.folder / "split.json").read_text())
    assert main(["evaluate", str(found.folder), "--data", str(moved)]) == 0
    assert split["sizes"] == {"train": 48, "validation": 16, "test": 16}


@pytest.mark.parametrize(
    ("family", "changes", "error", "message"),
    [
        ("vit", {"training": {"max_seq_length": 32}}, errors.DataError, "pictures have no tokens"),
        ("bert", {}, errors.ModelError, "has no image processor"),
        ("vit", {"task_format": "texts", "text": "image"}, errors.ModelError, "Cannot load the model|no tokenizer"),
    ],
)
def test_settings_that_do_not_fit_are_refused(pictures, settings, family, changes, error, message):
    with pytest.raises(error, match=message):
        describe_search(make_config(settings(family, data=str(pictures), **{"text": None, "label": None} | changes)))


def test_a_dry_run_names_the_classes(pictures, settings):
    training = {"num_train_epochs": 1}
    shown = describe_search(make_config(settings("vit", data=str(pictures), text=None, label=None, training=training)))
    assert "labels    2 classes: 'dark', 'light'" in shown and "metric accuracy" in shown


def test_rare_classes_weigh_more_and_every_kind_trains(pictures, model, tmp_path):
    for kind in ("prefix", "adapter"):
        output = tmp_path / kind
        flags = {"model": model, "data": pictures, "configuration": kind, "output": output, "num_train_epochs": 1,
                 "learning_rate": 1e-2, "class_weights": "balanced", "verify": "false"}  # fmt: skip
        assert main(["train", *(part for name, value in flags.items() for part in (f"--{name}", str(value)))]) == 0
        assert (output / "adapter" / "preprocessor_config.json").is_file()
