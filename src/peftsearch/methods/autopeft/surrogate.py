"""A Gaussian process on the score with a prior that most variables don't matter (SAAS), and draws from it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import torch
from torch import Tensor

from peftsearch.errors import PeftSearchError


class MissingBotorchError(PeftSearchError):
    """BoTorch, which is an extra of the installation, is not there."""


try:
    from botorch.exceptions import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.map_saas import EnsembleMapSaasSingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood
except ImportError as error:
    raise MissingBotorchError(
        f"The method 'autopeft' needs BoTorch ({error}). Install it with: pip install 'peftsearch[bo]'. "
        "That brings botorch[fully_bayesian] too, which the surrogate 'nuts' needs."
    ) from error

__all__ = ["Draws", "MissingBotorchError", "ModelFittingError", "Surrogate", "fit_surrogate", "rank_to_normal"]

MEMBERS = 4
# Share of the prior variance that is added to the diagonal, for matrices that are close to singular.
_JITTER = 1e-6


def rank_to_normal(scores: Sequence[float]) -> list[float]:
    """Normal quantiles of the scores' ranks, so that only their order matters; equal scores share their mean rank.

    Source: Zhou et al. 2024 (their code), an empirical distribution function followed by the normal quantile.
    """
    ordered = sorted(scores)
    first, count = {}, {}
    for i, score in enumerate(ordered):
        first.setdefault(score, i)
        count[score] = count.get(score, 0) + 1
    return [NormalDist().inv_cdf((first[s] + count[s] / 2) / len(ordered)) for s in scores]


@dataclass(frozen=True)
class Surrogate:
    """Gaussian processes that share their data, one for each set of hyperparameters (member).

    Args:
        kernel: (a, width), (b, width) -> (members, a, b), covariances of the noise-free score.
        mean: (members, 1), of the prior.
        noise: (members, 1), variance of the observations.
        x: (points, width).
        y: (points,).
    """

    kernel: Callable[[Tensor, Tensor], Tensor]
    mean: Tensor
    noise: Tensor
    x: Tensor
    y: Tensor

    def draw(self, count: int, generator: torch.Generator) -> "Draws":
        """Draw the noise-free scores of the points, `count` times for each member.

        Source: Matheron's rule: a draw of the prior plus what the observations say about its error.
        """
        covariance = self.kernel(self.x, self.x)
        prior = _cholesky(covariance)
        normal = torch.randn(2, len(covariance), len(self.x), count, generator=generator, dtype=self.x.dtype)
        drawn = prior @ normal[0]
        error = (self.y - self.mean).unsqueeze(-1) - drawn - self.noise.sqrt().unsqueeze(-1) * normal[1]
        observed = _cholesky(covariance + torch.diag_embed(self.noise.expand(-1, len(self.x))))
        values = self.mean.unsqueeze(-1) + drawn + covariance @ torch.cholesky_solve(error, observed)
        return Draws(self.kernel, self.mean, self.x, values)


@dataclass(frozen=True)
class Draws:
    """Possible true scores of the points that have been tried, and what each says about others.

    Args:
        kernel: of the surrogate.
        mean: of the surrogate.
        x: (points, width).
        values: (members, points, draws a member).
    """

    kernel: Callable[[Tensor, Tensor], Tensor]
    mean: Tensor
    x: Tensor
    values: Tensor

    @property
    def scores(self) -> Tensor:
        """(draws, points)."""
        return self.values.transpose(1, 2).flatten(0, 1)

    @cached_property
    def _factor(self) -> Tensor:
        return _cholesky(self.kernel(self.x, self.x))

    @cached_property
    def _weights(self) -> Tensor:
        return torch.cholesky_solve(self.values - self.mean.unsqueeze(-1), self._factor)

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the noise-free score at other points in each draw.

        Shape: (candidates, width) -> twice (draws, candidates).
        """
        cross = self.kernel(x, self.x)
        mean = self.mean.unsqueeze(-1) + cross @ self._weights
        explained = torch.linalg.solve_triangular(self._factor, cross.transpose(1, 2), upper=False)
        prior = self.kernel(x[:1], x[:1])[:, :, 0]  # the kernel is stationary
        variance = (prior - explained.square().sum(1)).clamp_min(_JITTER * prior)
        draws = self.values.shape[-1]
        deviation = variance.sqrt().repeat_interleave(draws, dim=0)
        return mean.transpose(1, 2).flatten(0, 1), deviation

    def believing(self, x: Tensor) -> "Draws":
        """As if a further point (1, width) had been tried and had scored what each draw expects."""
        mean, _ = self.predict(x)
        believed = mean.reshape(len(self.values), -1, 1).transpose(1, 2)
        return Draws(self.kernel, self.mean, torch.cat([self.x, x]), torch.cat([self.values, believed], dim=1))


def _cholesky(covariance: Tensor) -> Tensor:
    scale = _JITTER * covariance.diagonal(dim1=-2, dim2=-1)
    return torch.linalg.cholesky(covariance + torch.diag_embed(scale))


def fit_surrogate(x: Tensor, y: Tensor, *, kind: str, seed: int) -> Surrogate:
    """Fit the hyperparameters; the same data and seed give the same surrogate, whatever was drawn before.

    Args:
        x: (points, width), in (0, 1).
        y: (points,), of about mean 0 and variance 1.
        kind: "map_saas" (posterior modes for several sparsities) or "nuts" (posterior samples).

    Raises:
        ModelFittingError: of BoTorch, if no attempt converges.

    Source: Eriksson and Jankowiak 2021 (SAAS); the ensemble is BoTorch's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _FITS[kind](x, y.unsqueeze(-1), seed)
    members = model.covar_module.batch_shape[0]

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            return model.covar_module(a, b).to_dense()

    mean = model.mean_module.constant.detach().reshape(members, 1)
    noise = model.likelihood.noise.detach().reshape(members, 1)
    return Surrogate(kernel, mean, noise, x, y)


def _fit_modes(x: Tensor, y: Tensor, seed: int) -> SingleTaskGP:
    # tau ~ HalfCauchy(0.1) at its quantiles, one from each of equal parts, instead of random draws.
    quantiles = (torch.arange(MEMBERS, dtype=x.dtype) + 0.5) / MEMBERS
    taus = 0.1 * torch.tan(math.pi / 2 * quantiles)
    model = EnsembleMapSaasSingleTaskGP(x, y, num_taus=MEMBERS, taus=taus, outcome_transform=None)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model.eval()


def _fit_samples(x: Tensor, y: Tensor, seed: int) -> SingleTaskGP:
    try:
        import numpyro  # noqa: F401  BoTorch imports it when it samples
        from botorch.fit import fit_fully_bayesian_model_nuts
        from botorch.models.fully_bayesian import SaasFullyBayesianSingleTaskGP
    except ImportError as error:
        raise MissingBotorchError(
            f"The surrogate 'nuts' needs botorch[fully_bayesian] ({error}). Install it with: "
            "pip install 'peftsearch[bo]', or take --method.surrogate map_saas."
        ) from error
    model = SaasFullyBayesianSingleTaskGP(x, y)
    # 16 samples are kept, as in the public code of AutoPEFT.
    fit_fully_bayesian_model_nuts(model, warmup_steps=128, num_samples=64, thinning=4, disable_progbar=True, seed=seed)
    return model.eval()


_FITS = {"map_saas": _fit_modes, "nuts": _fit_samples}
