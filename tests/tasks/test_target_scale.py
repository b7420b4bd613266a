"""The scale of a regression's targets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.errors import DataError
from peftsearch.tasks.target_scale import TargetScale


def test_targets_are_standardised_to_mean_0_and_deviation_1():
    scale = TargetScale.of([100.0, 300.0], has_bias=True)
    assert scale == TargetScale(mean=200.0, deviation=100.0)
    assert [scale.standardise(y) for y in (100.0, 300.0, 350.0)] == [-1.0, 1.0, 1.5]
    assert scale.restore(1.5) == 350.0


def test_a_head_without_a_bias_keeps_the_mean_as_an_offset():
    assert TargetScale.of([100.0, 300.0], has_bias=False) == TargetScale(mean=0.0, deviation=100.0, offset=2.0)


NUMBERS = st.floats(-1e30, 1e30).filter(lambda y: y == 0 or abs(y) > 1e-30)


@given(st.lists(NUMBERS, min_size=2, max_size=9), st.booleans())
def test_restoring_undoes_standardising_or_the_numbers_are_refused(targets, has_bias):
    try:
        scale = TargetScale.of(targets, has_bias=has_bias)
    except DataError:
        return
    for target in targets:
        assert scale.restore(scale.standardise(target)) == pytest.approx(target, rel=1e-9, abs=1e-9 * scale.deviation)


@pytest.mark.parametrize("targets", [[1e9, 1e9 + 1], [1e300, 2e300], [1e-300, 2e-300]])
def test_numbers_that_float32_cannot_tell_apart_are_refused(targets):
    with pytest.raises(DataError, match=r"float32.*Subtract a constant"):
        TargetScale.of(targets, has_bias=True)


def test_a_mean_far_from_0_is_refused_for_a_head_without_a_bias():
    with pytest.raises(DataError, match=r"are 2002 with a deviation of 1, and the head of this model has no bias"):
        TargetScale.of([2001.0, 2003.0], has_bias=False)
    assert TargetScale.of([2001.0, 2003.0], has_bias=True).mean == 2002.0
