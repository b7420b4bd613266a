"""Pictures are read whole and upright, in RGB, or refused by name."""

import hashlib
import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from peftsearch.errors import DataError
from peftsearch.tasks.picture_file import locate_picture, read_picture

RED, GREEN = (255, 0, 0), (0, 255, 0)


def noise(size=64):
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8))


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def read(folder, data, name="a.png"):
    path = folder / name
    path.write_bytes(data)
    return read_picture(str(path), where="row 3 of train.csv")


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.bmp", "BMP"), ("a.webp", "WEBP"), ("A.PNG", "PNG")])
def test_lossless_formats_give_the_pixels_that_were_written(tmp_path, name, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(noise(), kind, **options)
    found = read(tmp_path, data, name)
    assert np.array_equal(np.asarray(found.pixels), np.asarray(noise()))
    assert (found.kind, found.digest) == (kind, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA"])
def test_white_is_white_in_every_mode(tmp_path, mode):
    found = read(tmp_path, encoded(Image.new("RGB", (2, 2), "white").convert(mode), "PNG")).pixels
    assert found.mode == "RGB"
    assert np.array_equal(np.asarray(found), np.full((2, 2, 3), 255))


def test_a_grey_picture_gets_three_equal_channels(tmp_path):
    grey = Image.fromarray(np.array([[0, 100, 200]], dtype=np.uint8))
    found = np.asarray(read(tmp_path, encoded(grey, "PNG")).pixels)
    assert found.tolist() == [[[0, 0, 0], [100, 100, 100], [200, 200, 200]]]


def test_a_picture_is_turned_as_its_camera_noted(tmp_path):
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), GREEN)
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is at the right: turn it by 90 degrees clockwise
    found = read(tmp_path, encoded(image, "PNG", exif=exif)).pixels
    assert found.size == (1, 2)
    assert [found.getpixel((0, 0)), found.getpixel((0, 1))] == [RED, GREEN]


def test_a_picture_of_a_camera_is_the_first_of_its_file(tmp_path):
    data = encoded(noise(), "MPO", save_all=True, append_images=[noise(8)])
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    found = read(tmp_path, data, "a.jpg")
    assert (found.pixels.size, found.kind) == ((64, 64), "JPEG")


@pytest.mark.parametrize("mode", ["CMYK", "P", "L"])
def test_pictures_of_other_colours_become_rgb(tmp_path, mode):
    kind = "PNG" if mode == "P" else "JPEG"
    found = read(tmp_path, encoded(Image.new("RGB", (8, 8), "white").convert(mode), kind), f"a.{kind.lower()}")
    assert found.pixels.mode == "RGB" and np.asarray(found.pixels).min() >= 253


def deep_png():
    """A red pixel of 16 bits a channel."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixel = b"\0" + struct.pack(">HHH", 65535, 257, 0)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixel)) + chunk(b"IEND", b"")


def truncated(kind):
    return encoded(noise(), kind)[:900]


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "a.png", "is an empty file"),
        (b"no picture at all", "a.png", "its content is not that of PNG, JPEG, WEBP, BMP"),
        (encoded(noise(), "GIF"), "a.png", "its content is not that of"),
        (truncated("PNG"), "a.png", "can't be read as png: .*truncated"),
        (truncated("JPEG"), "a.jpg", "can't be read as jpg: .*truncated"),
        (truncated("BMP"), "a.bmp", "can't be read as bmp: .*truncated"),
        (encoded(noise(), "PNG", save_all=True, append_images=[noise(63)]), "a.png", "animated: it has 2 frames"),
        (encoded(noise(), "WEBP", save_all=True, append_images=[noise().rotate(90)]), "a.webp", "it has 2 frames"),
        (encoded(Image.new("I;16", (2, 2), 999), "PNG"), "a.png", "more than 8 bits a channel"),
        (deep_png(), "a.png", "more than 8 bits a channel"),
    ],
)
def test_what_is_no_whole_picture_is_refused_with_its_file_and_row(tmp_path, data, name, words):
    with pytest.raises(DataError, match=rf"{name}' \(row 3 of train.csv\) .*{words}"):
        read(tmp_path, data, name)


def test_a_picture_of_more_pixels_than_pillow_takes_is_refused(tmp_path, monkeypatch):
    # Pillow warns above the limit, and raises above twice of it: both are refused.
    for limit in (64 * 64 - 1, 64 * 32 - 1):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match="too large to be opened.*Scale it down"):
            read(tmp_path, encoded(noise(), "PNG"))


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.png' \(row 1\) can't be read: No such file"):
        read_picture(str(tmp_path / "gone.png"), where="row 1")


def test_relative_paths_count_from_the_folder_and_absolute_ones_stay(tmp_path):
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    path.write_bytes(encoded(noise(), "PNG"))
    for cell, folder in (("in/a.png", tmp_path), ("../in/a.png", tmp_path / "in"), (str(path), tmp_path / "else")):
        found = locate_picture(cell, folder, column="image", where="row 1")
        assert found.resolve() == path


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("https://x.org/a.png", "is a URL"),
        ("data:image/png;base64,AAAA", "is a URL"),
        ("a.gif", "is no picture by its suffix. Known: .png, .jpg"),
        ("a", "is no picture by its suffix"),
        ("gone.png", "is not there"),
        ("folder.png", "is not there"),
    ],
)
def test_cells_that_name_no_picture_are_refused_with_their_row(tmp_path, cell, words):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=f"'{cell[:5]}.*in column 'image' of row 7 {words}"):
        locate_picture(cell, tmp_path, column="image", where="row 7")


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"pip install 'peftsearch\[pictures\]'"):
        read_picture(str(tmp_path / "a.png"), where="row 1")
