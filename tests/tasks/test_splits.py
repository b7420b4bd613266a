"""The split rules against torch.randperm itself."""

import pytest
import torch

from peftsearch.errors import DataError
from peftsearch.tasks.splits import limit_train, split_large, split_one, split_small


def _randperm(size: int, seed: int) -> list[int]:
    generator = torch.Generator()
    generator.manual_seed(seed)
    return torch.randperm(size, generator=generator).tolist()


@pytest.mark.parametrize("seed", [0, 7])
def test_small_rule_halves_the_permuted_validation_data(seed):
    rows = split_small(range(5), range(11), seed=seed).rows
    order = _randperm(11, seed)
    assert rows == {"train": [0, 1, 2, 3, 4], "validation": order[:5], "test": order[5:]}


def test_large_rule_takes_2000_of_the_permuted_training_data():
    rows = split_large(range(2005), range(3), seed=1).rows
    order = _randperm(2005, 1)
    assert rows == {"train": order[2000:], "validation": order[:2000], "test": [0, 1, 2]}


def test_large_rule_warns_when_there_are_too_few_rows(caplog):
    splits = split_large(range(82), range(11), seed=0)
    assert [len(rows) for rows in splits.rows.values()] == [74, 8, 11]
    assert "only 82" in caplog.text


def test_one_file_is_split_80_10_10_in_each_class():
    strata = ["a"] * 101 + ["b"] * 301
    rows = split_one(range(402), strata, seed=0).rows
    assert sorted(row for split in rows.values() for row in split) == list(range(402))
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert len(rows[split]) == pytest.approx(402 * share, abs=3)
        assert sum(row < 101 for row in rows[split]) == pytest.approx(101 * share, abs=2)


def test_one_file_keeps_a_class_of_one_row_for_training():
    strata = ["a"] * 40 + ["rare"]
    assert all(40 in split_one(range(41), strata, seed=seed).rows["train"] for seed in range(20))


def test_limited_training_data_are_the_first_of_a_permutation():
    assert limit_train(range(10), max_samples=4, seed=3) == _randperm(10, 3)[:4]
    assert limit_train(range(10), max_samples=0, seed=3) == list(range(10))
    assert limit_train(range(3), max_samples=4, seed=3) == [0, 1, 2]


def test_a_negative_limit_is_refused():
    with pytest.raises(DataError, match="max_train_samples is -1"):
        limit_train(range(3), max_samples=-1, seed=0)
