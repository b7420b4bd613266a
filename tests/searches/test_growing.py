import pytest
import torch

from peftsearch.errors import DataError
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.searches.growing import draw_parts, put_weights, read_weights
from peftsearch.searches.growth import Grown
from peftsearch.space import Choice, Configuration
from peftsearch.testing.tiny_models import TINY

LORA, NORM = Choice("encoder.0.query", "lora", 3), Choice("encoder.1.ffn_norm", "lnfit")


@pytest.mark.parametrize("num_examples,expected", [(0, 10), (7, 7), (20, 10)])
def test_examples_are_dealt_out_once_to_four_parts_of_almost_the_same_size(num_examples, expected):
    parts = draw_parts(10, num_examples, 0)
    rows = [row for part in parts for row in part]
    assert len(parts) == 4 and len(rows) == len(set(rows)) == expected and set(rows) <= set(range(10))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == draw_parts(10, num_examples, 0) != draw_parts(10, num_examples, 1)


def test_no_part_is_empty():
    assert sorted(map(len, draw_parts(3, 0, 0))) == [1, 1, 1]


@pytest.mark.parametrize("num_rows,num_examples", [(1, 0), (9, 1)])
def test_one_example_is_refused(num_rows, num_examples):
    with pytest.raises(DataError, match=f"takes 1 of {num_rows}"):
        draw_parts(num_rows, num_examples, 0)


def test_weights_that_are_read_can_be_put_into_another_model_and_others_stay_as_drawn():
    configuration = Configuration.of([LORA, NORM])
    first, second = ({"model": attach(model := TINY["bert"](), configuration, sites=find_sites(model))} for _ in "ab")
    sites = find_sites(TINY["bert"]())
    for parameter in first["model"].parameters():
        torch.nn.init.normal_(parameter.data)
    read = read_weights(first["model"], configuration, sites)
    drawn = read_weights(second["model"], configuration, sites).tensors
    put_weights(second["model"], Grown(configuration, {LORA.placement: read.tensors[LORA.placement]}), sites)
    found = read_weights(second["model"], configuration, sites).tensors
    torch.testing.assert_close(found[LORA.placement], read.tensors[LORA.placement])
    torch.testing.assert_close(found[NORM.placement], drawn[NORM.placement])
    assert read.tensors[LORA.placement]["A"].shape == (3, 32)
