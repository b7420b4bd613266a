"""The surrogate's own algebra against BoTorch's posterior."""

import importlib.util
import re
import sys

import pytest
import torch

pytest.importorskip("botorch")

from peftsearch.errors import PeftSearchError
from peftsearch.methods.autopeft import surrogate as surrogate_module
from peftsearch.methods.autopeft.surrogate import fit_surrogate, rank_to_normal


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(25, 6, generator=generator, dtype=torch.float64)
    noise = 0.1 * torch.randn(25, generator=generator, dtype=torch.float64)
    return x, torch.tensor(rank_to_normal((x[:, 0] + x[:, 1] ** 2 + noise).tolist()), dtype=torch.float64)


@pytest.fixture(scope="module")
def surrogate(data):
    return fit_surrogate(*data, kind="map_saas", seed=3)


def dense_posterior(surrogate, data, new):
    """The textbook formula, member by member."""
    x, y = data
    k, cross = surrogate.kernel(x, x), surrogate.kernel(new, x)
    inverse = torch.linalg.inv(k + surrogate.noise.unsqueeze(-1) * torch.eye(len(x), dtype=x.dtype))
    mean = surrogate.mean + (cross @ inverse @ (y - surrogate.mean).unsqueeze(-1)).squeeze(-1)
    variance = surrogate.kernel(new, new).diagonal(dim1=1, dim2=2) - (cross @ inverse * cross).sum(-1)
    return mean, variance


def test_many_draws_have_the_posterior_mean_and_variance(surrogate, data):
    new = torch.rand(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draws = surrogate.draw(4000, torch.Generator().manual_seed(2))
    mean, deviation = draws.predict(new)
    expected_mean, expected_variance = dense_posterior(surrogate, data, new)
    means = mean.reshape(len(surrogate.mean), 4000, 5)
    # law of total variance: between the draws and within each
    total = means.var(1) + deviation.reshape(means.shape)[:, 0] ** 2
    # 4,000 draws: 5 standard errors of the mean, and 8% of the variance
    assert ((means.mean(1) - expected_mean).abs() < 5 * (total / 4000).sqrt() + 1e-3).all()
    assert torch.allclose(total, expected_variance, rtol=0.08, atol=1e-3)


def test_a_believed_point_is_certain_and_as_expected(surrogate):
    new = torch.full((1, 6), 0.9, dtype=torch.float64)
    draws = surrogate.draw(3, torch.Generator().manual_seed(2))
    before, uncertain = draws.predict(new)
    after, certain = draws.believing(new).predict(new)
    # the jitter of 1e-6 of the prior variance remains
    assert torch.allclose(before, after, atol=1e-2) and (certain < 0.1 * uncertain).all()


def test_the_variables_that_matter_are_found(surrogate):
    """The kernel changes along variables 0 and 1 and hardly along the others."""
    middle = torch.full((1, 6), 0.5, dtype=torch.float64)
    moved = middle + 0.4 * torch.eye(6, dtype=torch.float64)
    drop = 1 - surrogate.kernel(middle, moved) / surrogate.kernel(middle, middle)
    assert drop[:, 0, :2].mean() > 5 * drop[:, 0, 2:].mean()


def test_the_same_seed_gives_the_same_surrogate_whatever_was_drawn(data, surrogate):
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = fit_surrogate(*data, kind="map_saas", seed=3)
    assert torch.equal(again.noise, surrogate.noise) and torch.equal(again.mean, surrogate.mean)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_posterior_samples_fit_too(data):
    pytest.importorskip("numpyro")
    sampled = fit_surrogate(*data, kind="nuts", seed=3)
    assert len(sampled.noise) == 16
    assert torch.equal(sampled.noise, fit_surrogate(*data, kind="nuts", seed=3).noise)


@pytest.mark.parametrize("missing", ["botorch", "numpyro"])
def test_without_botorch_the_error_says_what_to_install(missing, monkeypatch):
    for name in [missing, *(name for name in sys.modules if name.startswith(f"{missing}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    again = importlib.util.module_from_spec(surrogate_module.__spec__)
    with pytest.raises(PeftSearchError, match=re.escape("pip install 'peftsearch[bo]'")):
        again.__loader__.exec_module(again)
        again._fit_samples(None, None, 0)


def test_only_the_order_of_scores_matters():
    assert rank_to_normal([1.0, 2.0, 100.0]) == rank_to_normal([-5.0, 0.1, 0.2])
    assert rank_to_normal([1.0, 1.0]) == [0.0, 0.0]
    low, middle, high = rank_to_normal([1.0, 5.0, 7.0])
    assert middle == pytest.approx(0) and low == pytest.approx(-high)
