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


@pytest.mark.parametrize("num_examples,expected", [(0, 21), (7, 14), (20, 21)])
def test_examples_are_dealt_out_once_to_four_parts_of_each_pass(num_examples, expected):
    first, second = draw_parts(21, num_examples, 0)
    assert len(first) == len(second) == 4
    rows = [row for part in first + second for row in part]
    assert len(rows) == len(set(rows)) == expected and set(rows) <= set(range(21))
    sizes = [len(part) for part in first + second]
    assert max(sizes) - min(sizes) <= 1
    assert (first, second) == draw_parts(21, num_examples, 0) != draw_parts(21, num_examples, 1)


def test_no_part_is_empty():
    assert [sorted(map(len, parts)) for parts in draw_parts(7, 0, 0)] == [[1, 1, 1], [1, 1, 1, 1]]


@pytest.mark.parametrize("num_rows,num_examples,taken", [(3, 0, 3), (9, 1, 2)])
def test_one_example_of_a_pass_is_refused(num_rows, num_examples, taken):
    with pytest.raises(DataError, match=f"takes {taken} of {num_rows}"):
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
