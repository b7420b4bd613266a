"""A Gaussian process of the score, whose prior says that most variables don't matter (SAAS), and draws from it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from peftsearch.errors import PeftSearchError


class MissingBotorchError(PeftSearchError):
    """BoTorch, an extra of the installation, is missing."""


try:
    from botorch.exceptions import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models.map_saas import EnsembleMapSaasSingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.models import ExactGP
except ImportError as error:
    raise MissingBotorchError(
        f"The method 'autopeft' needs BoTorch ({error}). Install it with: pip install 'peftsearch[bo]'. "
        "That brings botorch[fully_bayesian] too, which the surrogate 'nuts' needs."
    ) from error

__all__ = ["Draws", "MissingBotorchError", "ModelFittingError", "Surrogate", "fit_surrogate", "rank_to_normal"]

# Gaussian processes in the ensemble of posterior modes.
MEMBERS = 4
# Share of the prior variance that is added to the diagonal, for matrices that are close to singular.
_JITTER = 1e-6


def rank_to_normal(scores: Sequence[float]) -> list[float]:
    """Replace scores by the normal quantiles of their ranks, so that only their order matters.

    Equal scores share their mean rank.

    Source: Zhou et al. 2024, the public code.
    """
    ordered = sorted(scores)
    first, count = {}, {}
    for i, score in enumerate(ordered):
        first.setdefault(score, i)
        count[score] = count.get(score, 0) + 1
    return [NormalDist().inv_cdf((first[s] + count[s] / 2) / len(ordered)) for s in scores]


@dataclass(frozen=True)
class Surrogate:
    """An ensemble of Gaussian processes with the same data and other hyperparameters.

    Args:
        kernel: (a, variables), (b, variables) -> (members, a, b), covariances of the noise-free score.
        mean: (members, 1), of the prior.
        noise: (members, 1), variance of the observations.
        x: (points, variables), in (0, 1).
        y: (points,), observed scores.
    """

    kernel: Callable[[Tensor, Tensor], Tensor]
    mean: Tensor
    noise: Tensor
    x: Tensor
    y: Tensor

    def draw(self, count: int, generator: torch.Generator) -> "Draws":
        """Draw the noise-free scores of the points.

        Args:
            count: draws for each member.
            generator: of the random numbers.

        Source: Matheron's rule: a draw from the prior, plus the correction that the observations make to it.
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
    """Possible true scores of the points that have been tried; each draw predicts the scores of other points.

    Args:
        kernel: of the surrogate.
        mean: (members, 1), of the surrogate's prior.
        x: (points, variables).
        values: (members, points, draws of a member).
    """

    kernel: Callable[[Tensor, Tensor], Tensor]
    mean: Tensor
    x: Tensor
    values: Tensor

    @property
    def scores(self) -> Tensor:
        """(draws, points) scores, of all members."""
        return self.values.transpose(1, 2).flatten(0, 1)

    @cached_property
    def _factor(self) -> Tensor:
        return _cholesky(self.kernel(self.x, self.x))

    @cached_property
    def _weights(self) -> Tensor:
        return torch.cholesky_solve(self.values - self.mean.unsqueeze(-1), self._factor)

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the noise-free scores of other points from each draw.

        Args:
            x: (candidates, variables).

        Returns:
            mean and standard deviation, both (draws, candidates).
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
        """Return the draws as if a further point had been tried and had scored what each draw expects.

        Args:
            x: (1, variables), the point.
        """
        mean, _ = self.predict(x)
        believed = mean.reshape(len(self.values), -1, 1).transpose(1, 2)
        return Draws(self.kernel, self.mean, torch.cat([self.x, x]), torch.cat([self.values, believed], dim=1))


def _cholesky(covariance: Tensor) -> Tensor:
    scale = _JITTER * covariance.diagonal(dim1=-2, dim2=-1)
    return torch.linalg.cholesky(covariance + torch.diag_embed(scale))


def fit_surrogate(x: Tensor, y: Tensor, *, kind: str, seed: int) -> Surrogate:
    """Fit the hyperparameters to observed scores; the same data and seed give the same surrogate.

    Args:
        x: (points, variables), in (0, 1).
        y: (points,), of about mean 0 and variance 1.
        kind: "map_saas" (posterior modes for several sparsities) or "nuts" (posterior samples).
        seed: of the fit alone; the global random numbers stay as they are.

    Raises:
        ModelFittingError: BoTorch's, if no attempt converges.
        MissingBotorchError: for "nuts" without its extra packages.

    Source: Eriksson and Jankowiak 2021 (SAAS); the ensemble is BoTorch's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # BoTorch's models declare their parts as modules or tensors.
        model: Any = _FITS[kind](x, y.unsqueeze(-1), seed)
    members = model.covar_module.batch_shape[0]

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            return model.covar_module(a, b).to_dense()

    mean = model.mean_module.constant.detach().reshape(members, 1)
    noise = model.likelihood.noise.detach().reshape(members, 1)
    return Surrogate(kernel, mean, noise, x, y)


def _fit_modes(x: Tensor, y: Tensor, seed: int) -> ExactGP:
    # tau ~ HalfCauchy(0.1): quantiles in the middle of equal parts instead of random draws.
    quantiles = (torch.arange(MEMBERS, dtype=x.dtype) + 0.5) / MEMBERS
    taus = 0.1 * torch.tan(math.pi / 2 * quantiles)
    model = EnsembleMapSaasSingleTaskGP(x, y, num_taus=MEMBERS, taus=taus, outcome_transform=None)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model.eval()


def _fit_samples(x: Tensor, y: Tensor, seed: int) -> ExactGP:
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
