"""How many validation examples judge a training that has not come far."""

from peftsearch.training.judges import num_judges


def test_a_share_of_the_split_decides():
    assert [num_judges(1000, trained_on=10_000, share=share) for share in (1 / 4, 1 / 2, 1.0)] == [250, 500, 1000]


def test_they_are_at_most_half_of_the_examples_that_were_trained_on():
    assert [num_judges(500, trained_on=count) for count in (400, 512, 5000)] == [200, 256, 500]


def test_they_are_at_least_128_where_there_are_so_many():
    assert [num_judges(count, trained_on=8, share=1 / 4) for count in (300, 100)] == [128, 100]
