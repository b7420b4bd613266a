"""Pictures that stand in a table themselves: bytes, structs of the datasets library, pictures of Pillow."""

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pytest
from PIL import Image
from shades import write_shades

from peftsearch.errors import DataError
from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.picture_cells import holds_picture, read_reference
from peftsearch.tasks.picture_file import read_picture
from peftsearch.tasks.tables import read_hub


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    return write_shades(tmp_path_factory.mktemp("data") / "shades", count=20)


def rows_of(folder: Path):
    return [{"image": str(path), "label": path.parent.name} for path in sorted(folder.rglob("*.png"))]


def saved_by_datasets(folder: Path, target: Path) -> str:
    """The pictures of a folder in a parquet file, with their bytes and names, as the datasets library saves them."""
    paths = [Path(row["image"]) for row in rows_of(folder)]
    rows = {
        "image": [{"bytes": path.read_bytes(), "path": path.name} for path in paths],
        "label": [path.parent.name for path in paths],
    }
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(target))
    return str(target)


def digests(task):
    return {name: [example.content for example in rows] for name, rows in task.splits.items()}


def test_a_parquet_file_of_datasets_holds_the_pictures_of_the_folder(shades, tmp_path, caplog):
    path = saved_by_datasets(shades, tmp_path / "shades.parquet")
    first: Any = pandas.read_parquet(path)["image"][0]
    assert isinstance(first["bytes"], bytes) and isinstance(first["path"], str)
    with caplog.at_level("INFO"):
        task = load_task(TaskRequest(data=path))
    assert "since the column 'image' of shades.parquet holds pictures" in caplog.text
    assert digests(task) == digests(load_task(TaskRequest(data=str(shades))))


def test_bytes_alone_are_pictures_too(shades, tmp_path):
    rows = [{"scan": Path(row["image"]).read_bytes(), "label": row["label"]} for row in rows_of(shades)]
    pandas.DataFrame(rows).to_parquet(tmp_path / "shades.parquet")
    task = load_task(TaskRequest(data=str(tmp_path / "shades.parquet"), text="scan"))
    assert digests(task) == digests(load_task(TaskRequest(data=str(shades))))


def test_a_struct_without_bytes_names_a_file(shades):
    (path,) = (row["image"] for row in rows_of(shades)[:1])
    cell = {"bytes": None, "path": Path(path).name}
    assert read_reference({"image": cell}, "image", Path(path).parent, where="row 1") == path


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1"])
def test_a_picture_of_pillow_keeps_its_pixels(mode):
    noise = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    given = Image.fromarray(noise).convert(mode)
    assert holds_picture(given)
    found = read_picture(read_reference({"a": given}, "a", Path(), where="row 1"), where="row 1")
    assert np.array_equal(np.asarray(found.pixels), np.asarray(given.convert("RGB")))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def png(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", **options)
    return buffer.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
TWO_FRAMES = png(NOISE, save_all=True, append_images=[NOISE.rotate(90)])


@pytest.mark.parametrize(
    "cell,message",
    [
        (b"", r"The picture in the table \(row 4 of a.parquet\) is an empty file"),
        (b"no picture", r"The picture in the table \(row 4 of a.parquet\) is none: its content is not that of PNG"),
        (png(NOISE)[:900], r"The picture in the table \(row 4 of a.parquet\) can't be read as a picture: .*truncated"),
        (TWO_FRAMES, r"The picture in the table \(row 4 of a.parquet\) is animated: it has 2 frames"),
        (opened(TWO_FRAMES), "The picture of Pillow in row 4 of a.parquet is animated: it has 2 frames"),
        (opened(png(NOISE)[:900]), "The picture of Pillow in row 4 of a.parquet can't be read: .*truncated"),
        (Image.new("I;16", (2, 2), 999), "of Pillow in row 4 of a.parquet has more than 8 bits a channel"),
        (7, "The picture in column 'image' is 7 in row 4 of a.parquet, but must be a path, its bytes, a struct"),
        ({"bytes": None, "path": None}, "'path': None} in row 4 of a.parquet, but must be a path"),
        (None, "The picture in column 'image' is null in row 4 of a.parquet"),
    ],
)  # fmt: skip
def test_what_is_no_whole_picture_is_named_with_its_row(cell, message):
    where = "row 4 of a.parquet"
    with pytest.raises(DataError, match=message):
        read_picture(read_reference({"image": cell}, "image", Path(), where=where), where=where)


def test_a_broken_picture_in_a_table_is_named_before_any_training(shades, tmp_path):
    rows = [{"image": Path(row["image"]).read_bytes(), "label": row["label"]} for row in rows_of(shades)]
    rows[6]["image"] = rows[6]["image"][:20]
    pandas.DataFrame(rows).to_parquet(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match=r"\(row 7 of broken.parquet\) can't be read as"):
        load_task(TaskRequest(data=str(tmp_path / "broken.parquet")))


def test_pictures_of_the_hub_stay_the_files_that_were_saved(shades, tmp_path, monkeypatch):
    table = datasets.Dataset.from_parquet(saved_by_datasets(shades, tmp_path / "a.parquet"), cache_dir=str(tmp_path))
    monkeypatch.setattr(datasets, "load_dataset", lambda *given: {"train": table})
    read = read_hub("someone/shades")["train"]
    assert [row["image"]["bytes"] for row in read] == [Path(row["image"]).read_bytes() for row in rows_of(shades)]
