"""Equations 1 to 3 against numbers worked out by hand."""

import pytest
import torch

from peftsearch.supernet.sensitivity import SENSITIVITIES, ModuleSaliency, Records, take_saliency

# Module 0 has two tensors (3 parameters), module 1 one tensor (2 parameters).
MODULES = ModuleSaliency(torch.tensor([0, 0, 1]), torch.tensor([3, 2]))
TRN = [torch.tensor([1.0, -2.0]), torch.tensor([3.0]), torch.tensor([0.0, 4.0])]
VAL = [torch.tensor([1.0, 0.0]), torch.tensor([-1.0]), torch.tensor([0.0, 2.0])]


def test_saliency_is_weight_times_gradient_and_zero_without_one():
    saliency = take_saliency([torch.tensor([2.0, 3.0]), torch.tensor([5.0])], [torch.tensor([0.5, -1.0]), None])
    assert [s.tolist() for s in saliency] == [[1.0, -3.0], [0.0]]


def test_importance_is_the_mean_absolute_saliency():
    assert MODULES.importance(TRN).tolist() == pytest.approx([(1 + 2 + 3) / 3, 4 / 2])


def test_cosine_spans_all_tensors_of_a_module():
    first = (1 * 1 + 3 * -1) / ((1 + 4 + 9) ** 0.5 * 2**0.5)
    assert MODULES.cosine(TRN, VAL).tolist() == pytest.approx([first, 1.0])


def test_cosine_with_a_zero_saliency_is_zero():
    assert MODULES.cosine(TRN, [torch.zeros_like(t) for t in TRN]).tolist() == [0.0, 0.0]


def test_the_variants_combine_what_a_step_records():
    cosine = -2 / (14**0.5 * 2**0.5)
    trn, val = [2.0, 2.0], [2 / 3, 1.0]
    expected = {
        "cosine": [trn[0] + cosine * val[0], trn[1] + val[1]],
        "trn": trn,
        "val": val,
        "trn+val": [trn[0] + val[0], trn[1] + val[1]],
        "effect": [0.6 / 3, -0.5 / 2],
    }
    records = Records(MODULES, TRN, VAL, effects=torch.tensor([0.6, -0.5]))
    assert expected.keys() == SENSITIVITIES.keys()
    for name, values in expected.items():
        assert SENSITIVITIES[name](records).tolist() == pytest.approx(values)
