"""Expected hypervolume improvement for two objectives, of which one, the cost, is known before a trial."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Below this, log(1 - |z| Phi(z) / phi(z)) loses its digits to cancellation and its limit -2 log|z| is exact to 1e-8.
_FAR_BELOW = -1e4


@dataclass(frozen=True)
class ReferencePoint:
    """The corner from which hypervolume is measured; only points that are cheaper and score better have any.

    Args:
        cost: in the unit of all costs, such as log10(parameters).
        score: in the unit of all scores.
    """

    cost: float
    score: float


@dataclass(frozen=True)
class EvaluatedPoints:
    """Configurations tried so far: costs are exact, scores uncertain.

    Args:
        costs: (points,), ascending.
        scores: (draws, points), possible true scores; a single draw if they are known.
    """

    costs: Tensor
    scores: Tensor


def log_expected_improvement(mean: Tensor, deviation: Tensor, threshold: Tensor) -> Tensor:
    """Compute log E[max(0, f - threshold)] for a normal f, finite however unlikely an improvement is.

    Args:
        mean: of f.
        deviation: of f, above 0.
        threshold: score to exceed. All three are of shapes that broadcast.

    Source: Ament et al. 2023, eq. 9.
    """
    z = (mean - threshold) / deviation
    upper = z.clamp_min(-1)
    likely = (torch.exp(_log_density(upper)) + upper * torch.special.ndtr(upper)).log()
    lower = z.clamp(_FAR_BELOW, -1)
    ratio = math.sqrt(math.pi / 2) * torch.special.erfcx(-lower / math.sqrt(2))
    unlikely = torch.log1p(lower * ratio)
    unlikely = torch.where(z < _FAR_BELOW, -2 * z.clamp_max(-1).neg().log(), unlikely) + _log_density(z)
    return torch.where(z > -1, likely, unlikely) + deviation.log()


def _log_density(z: Tensor) -> Tensor:
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi)


def log_expected_hypervolume_improvement(
    mean: Tensor, deviation: Tensor, *, costs: Tensor, evaluated: EvaluatedPoints, reference: ReferencePoint
) -> Tensor:
    """Compute the log of the expected growth of the dominated area, averaged over the draws of the tried points.

    Along the cost axis the best score so far is a staircase. A candidate of cost c can lift it from c to the
    reference, so its expected gain is the sum over the stairs of width times ordinary expected improvement over the
    stair. Summed as logarithms.

    Args:
        mean: (draws, candidates), of the candidates' scores.
        deviation: (draws, candidates), of the same, above 0.
        costs: (candidates,).
        evaluated: the points tried so far, with as many draws.
        reference: the corner of the area.

    Returns:
        (candidates,); -inf for a candidate that costs the reference or more.
    """
    starts, heights = staircase(evaluated, reference)
    ends = torch.cat([starts[1:], starts.new_tensor([reference.cost])])
    widths = (ends - torch.maximum(starts, costs.unsqueeze(-1))).clamp_min(0)  # (candidates, stairs)
    gains = log_expected_improvement(mean.unsqueeze(-1), deviation.unsqueeze(-1), heights.unsqueeze(1))
    by_draw = torch.logsumexp(widths.log() + gains, dim=-1)
    return torch.logsumexp(by_draw, dim=0) - math.log(len(by_draw))


def staircase(evaluated: EvaluatedPoints, reference: ReferencePoint) -> tuple[Tensor, Tensor]:
    """Find the best score for each cost, a staircase.

    Returns:
        (stairs,) costs at which the stairs start, and (draws, stairs) scores, their heights. The first stair starts at
        -inf with the reference's score. Points that cost more than the reference count as if they cost as much.
    """
    costs, scores = evaluated.costs.clamp_max(reference.cost), evaluated.scores
    starts = torch.cat([costs.new_tensor([-math.inf]), costs])
    floor = scores.new_full((len(scores), 1), reference.score)
    heights = torch.cat([floor, scores], dim=1).cummax(dim=1).values
    # A stair of no width in every draw changes no sum, and there is one for each dominated point.
    is_step = torch.ones_like(starts, dtype=torch.bool)
    is_step[1:] = (heights[:, 1:] > heights[:, :-1]).any(dim=0)
    return starts[is_step], heights[:, is_step]


def reference_score(front: list[float], scores: list[float]) -> float:
    """Choose the reference's score: the worst one of the Pareto front, less a tenth of the range of all scores.

    Args:
        front: scores of the Pareto front, at least one.
        scores: of every trial.

    Source: `infer_reference_point` of BoTorch, which takes the range of the front.
    """
    return min(front) - 0.1 * ((max(scores) - min(scores)) or 1.0)
