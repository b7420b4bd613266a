"""Pictures are decoded when they are asked for, and kept up to a bound."""

import pickle

import torch

from peftsearch.tasks.encoded_pictures import EncodedPictures

BYTES = 3 * 2 * 2 * 4  # float32


class Reader:
    """Counts what it reads; the picture at "2" is full of twos."""

    def __init__(self):
        self.paths = []

    def __call__(self, path):
        self.paths.append(path)
        return torch.full((3, 2, 2), float(path))


def test_nothing_is_read_until_it_is_asked_for_and_then_once():
    reader = Reader()
    data = EncodedPictures(["0", "1", "2"], [5, 6, 7], reader)
    assert (len(data), data.lengths, data.labels, reader.paths) == (3, [1, 1, 1], [5, 6, 7], [])
    for _ in range(2):
        item = data[2]
        assert item["labels"] == 7
        assert torch.equal(item["pixel_values"], torch.full((3, 2, 2), 2.0))
    assert reader.paths == ["2"]


def test_beyond_the_bound_pictures_are_read_again():
    reader = Reader()
    data = EncodedPictures(["0", "1", "2"], [0, 0, 0], reader, max_bytes=2 * BYTES + 1)
    for _ in range(2):
        for i in range(3):
            assert float(data[i]["pixel_values"].mean()) == i
    assert reader.paths == ["0", "1", "2", "2"]


def test_a_worker_gets_no_decoded_pictures():
    data = EncodedPictures(["0"] * 100, [0] * 100, Reader())
    empty = len(pickle.dumps(data))
    _ = [data[i] for i in range(100)]
    assert len(pickle.dumps(data)) < empty + 100 * len("0") * 20
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again[7]["pixel_values"], data[7]["pixel_values"])
