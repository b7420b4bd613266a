"""Parameters at which no module can stand, counted by hand from the shapes of tiny models."""

import pytest
import torch
import transformers
from text_families import tiny_config

from peftsearch.models.discover import find_sites
from peftsearch.models.left_out import left_out, left_out_note
from peftsearch.testing.tiny_models import TINY


def of(class_name: str, model_type: str) -> dict[str, int]:
    with torch.device("meta"):
        model = getattr(transformers, class_name)(tiny_config(model_type))
    return left_out(model, find_sites(model))


@pytest.mark.parametrize("family", list(TINY))
def test_nothing_but_positions_is_left_out_of_the_families_with_tables(family):
    model = TINY[family]()
    # DeBERTa's has maps of 32 x 32 for keys and queries of positions in each of two layers.
    expected = {"maps without a role": 2 * 2 * 32 * 32} if family == "deberta-v2" else {}
    assert left_out(model, find_sites(model)) == expected
    assert bool(left_out_note(model, find_sites(model), 1)) == bool(expected)


def test_routed_experts_are_counted_and_the_router_is_a_map_without_a_role():
    # Two layers of 4 experts: 32 x 128 for gate and input, 64 x 32 for the output; the router is 4 x 32.
    assert of("MixtralForSequenceClassification", "mixtral") == {
        "routed experts": 2 * 4 * (32 * 128 + 64 * 32),
        "maps without a role": 2 * 4 * 32,
    }


def test_attention_that_is_no_linear_map_is_counted():
    # XLNet's q, k, v, o and r of each layer are 32 x 4 x 8; its biases of each head, 4 x 8, count with the matrices.
    biases = 3 * 4 * 8 + 2 * 4 * 8
    assert of("XLNetForSequenceClassification", "xlnet") == {"maps without a role": 2 * (5 * 32 * 32 + biases)}


def test_what_sees_in_a_model_for_text_is_a_part_without_sites():
    counts = of("Gemma3ForSequenceClassification", "gemma3")
    # Two blocks of SigLIP: four maps of 32 x 32, and 32 x 64 into and out of the feed-forward part.
    assert counts == {"parts without sites": 2 * (4 * 32 * 32 + 2 * 32 * 64)}


def test_the_note_gives_the_share_of_the_backbone():
    with torch.device("meta"):
        model = transformers.MixtralForSequenceClassification(tiny_config("mixtral"))
    (note,) = left_out_note(model, find_sites(model), 98_304)
    assert note == (
        "No module can stand at maps without a role (256 parameters, 0.3% of the backbone), routed experts (49,152 "
        "parameters, 50.0% of the backbone): they stay as they are."
    )
