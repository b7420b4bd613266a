"""Architecture parameters: logits over placements being on and over their ranks, kept outside of the model."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch.nn.functional import gumbel_softmax, one_hot

from peftsearch.space import Choice, Placement, SearchSpace
from peftsearch.supernet.supernet import rank_masks

# Standard deviation of the initial logits.
INITIAL_SCALE = 1e-3

# Turns the logits of decisions into weights of their options:
# (logits (decisions, options), temperature) -> weights (decisions, options), each row summing to 1.
Relaxation = Callable[[torch.Tensor, float], torch.Tensor]


def gumbel(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Sample one option of each row; gradients are those of the Gumbel-softmax (straight-through).

    Args:
        logits: (decisions, options).
        temperature: of the softmax that gives the gradients, above 0.

    Returns:
        (decisions, options) one-hot rows.

    Source: Jang et al. 2017, "Categorical reparameterization with Gumbel-softmax", section 2.2.
    """
    return gumbel_softmax(logits, tau=temperature, hard=True)


def softmax(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Weigh all options by their probability: BIPEFT's ablation "no Gumbel".

    Args:
        logits: (decisions, options).
        temperature: not used.

    Returns:
        (decisions, options) weights; each row sums to 1.
    """
    return torch.softmax(logits, dim=-1)


RELAXATIONS: dict[str, Relaxation] = {"gumbel": gumbel, "softmax": softmax}


class OptionTable:
    """The ranks of every placement as rectangular tensors: row i is placement i, column d its d-th rank.

    A placement with fewer ranks than others repeats its last one; `valid` is False in those columns.

    Args:
        space: gives the placements, their ranks and the costs.
    """

    def __init__(self, space: SearchSpace):
        self.placements: list[Placement] = list(space.ranks)
        self.index = {placement: i for i, placement in enumerate(self.placements)}
        columns = max(map(len, space.ranks.values()))
        rows = [ranks + ranks[-1:] * (columns - len(ranks)) for ranks in space.ranks.values()]
        lengths = torch.tensor([len(ranks) for ranks in space.ranks.values()])
        self.ranks = torch.tensor(rows)  # (placements, columns)
        self.valid = torch.arange(columns)[None, :] < lengths[:, None]  # (placements, columns)
        self.is_ranked = lengths > 1  # (placements,)
        costs = [[space.cost_of(Choice(p.site, p.kind, r)) for r in row] for p, row in zip(self.placements, rows)]
        self.costs = torch.tensor(costs, dtype=torch.float64)  # (placements, columns) parameters
        largest = int(self.ranks.max())
        # (placements, columns, largest rank)
        self.masks = rank_masks(self.ranks.flatten().tolist(), largest).view(*self.ranks.shape, largest)

    def one_hot_of(self, columns: torch.Tensor) -> torch.Tensor:
        """Make one-hot rows.

        Args:
            columns: (placements,) index of the column that is 1.

        Returns:
            (placements, columns) zeros and ones.
        """
        return one_hot(columns, self.ranks.shape[1]).float()


class Architecture(ABC):
    """Base class of architectures: trainable probabilities that placements are on, and of their ranks.

    Args:
        table: placements and ranks of the space.
    """

    # The stages of a search, in their order; each trains logits of its own.
    stages: tuple[str, ...]

    def __init__(self, table: OptionTable):
        self.table = table
        # Column of each placement's fixed rank; -1 while undetermined.
        self.fixed = torch.where(table.is_ranked, -1, 0)

    @abstractmethod
    def parameters(self, stage: str) -> list[torch.Tensor]:
        """Return the logits that a stage trains."""

    @abstractmethod
    def sample(self, stage: str, relaxation: Relaxation, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample gates and ranks, with gradients to the parameters of one stage.

        Args:
            stage: one of `stages`.
            relaxation: turns logits into weights.
            temperature: of the relaxation, above 0.

        Returns:
            (placements,) gates in [0, 1], and (placements, columns) weights of the ranks.
        """

    @abstractmethod
    def on_probability(self) -> torch.Tensor:
        """Return the (placements,) probability P_n that each placement is on, without gradient."""

    @abstractmethod
    def rank_logits(self) -> torch.Tensor:
        """Return the (placements, columns) logits of the ranks, without gradient; -inf in invalid columns."""

    def rank_probability(self) -> torch.Tensor:
        """Return the (placements, columns) probability of each rank; one-hot where the rank is fixed."""
        free = torch.softmax(self.rank_logits(), dim=-1)
        return torch.where((self.fixed >= 0)[:, None], self.table.one_hot_of(self.fixed.clamp_min(0)), free)

    def preferred_column(self) -> torch.Tensor:
        """Return the (placements,) column of each fixed rank, or else of the most likely one."""
        return torch.where(self.fixed >= 0, self.fixed, self.rank_logits().argmax(-1))

    def fix(self, placements: torch.Tensor) -> None:
        """Fix placements at their most likely rank for the rest of the search.

        Args:
            placements: (any number,) row indices.
        """
        self.fixed[placements] = self.rank_logits().argmax(-1)[placements]

    def expected_sizes(self) -> torch.Tensor:
        """Compute the (placements,) expected sizes in parameters: P_n * q_n, q_n being the mean over the ranks.

        Source: Chang et al. 2024, eqs 7 and 8.
        """
        return self.on_probability().double() * (self.rank_probability().double() * self.table.costs).sum(-1)

    def preferred_sizes(self) -> torch.Tensor:
        """Compute the (placements,) sizes in parameters at the preferred ranks, as if every placement were on."""
        return self.table.costs.gather(1, self.preferred_column()[:, None])[:, 0]


class Disentangled(Architecture):
    """One binary decision for each placement, and a separate decision for its rank.

    Source: Chang et al. 2024, section 3.2.
    """

    stages = ("binary", "rank")

    def __init__(self, table: OptionTable):
        super().__init__(table)
        rows, columns = table.ranks.shape
        self.alpha = (INITIAL_SCALE * torch.randn(rows, 2)).requires_grad_()  # columns: off, on
        self.beta = (INITIAL_SCALE * torch.randn(rows, columns)).requires_grad_()

    def parameters(self, stage: str) -> list[torch.Tensor]:
        return [{"binary": self.alpha, "rank": self.beta}[stage]]

    def sample(self, stage: str, relaxation: Relaxation, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        preferred = self.table.one_hot_of(self.preferred_column())
        if stage == "binary":
            return relaxation(self.alpha, temperature)[:, 1], preferred
        free = relaxation(self._masked_beta(), temperature)
        return torch.ones(len(preferred)), torch.where((self.fixed >= 0)[:, None], preferred, free)

    def on_probability(self) -> torch.Tensor:
        return torch.softmax(self.alpha.detach(), dim=-1)[:, 1]

    def rank_logits(self) -> torch.Tensor:
        return self._masked_beta().detach()

    def _masked_beta(self) -> torch.Tensor:
        return self.beta.masked_fill(~self.table.valid, -torch.inf)


class Entangled(Architecture):
    """One decision for each placement, over "off" and every rank.

    Source: the space of earlier methods, an ablation in Table 2 of Chang et al. 2024.
    """

    stages = ("joint",)

    def __init__(self, table: OptionTable):
        super().__init__(table)
        rows, columns = table.ranks.shape
        self.gamma = (INITIAL_SCALE * torch.randn(rows, 1 + columns)).requires_grad_()  # columns: off, ranks

    def parameters(self, stage: str) -> list[torch.Tensor]:
        return [self.gamma]

    def sample(self, stage: str, relaxation: Relaxation, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        weights = relaxation(self._masked_gamma(), temperature)
        off, ranks, preferred = weights[:, :1], weights[:, 1:], self.table.one_hot_of(self.preferred_column())
        # What is off has its most likely rank: with gate and rank mask both zero neither would get a gradient.
        free = ranks + off.detach() * preferred
        return 1 - off[:, 0], torch.where((self.fixed >= 0)[:, None], preferred, free)

    def on_probability(self) -> torch.Tensor:
        return 1 - torch.softmax(self._masked_gamma().detach(), dim=-1)[:, 0]

    def rank_logits(self) -> torch.Tensor:
        return self._masked_gamma().detach()[:, 1:]

    def _masked_gamma(self) -> torch.Tensor:
        off = torch.ones(len(self.gamma), 1, dtype=torch.bool)
        return self.gamma.masked_fill(~torch.cat([off, self.table.valid], dim=1), -torch.inf)


def regularisation(parameters: list[torch.Tensor]) -> torch.Tensor:
    """Compute the penalty that keeps logits near probabilities: the sum over tensors of mean |softmax(w) - w|.

    Args:
        parameters: logits, each (decisions, options).

    Source: BIPEFT's public code.
    """
    return torch.stack([(torch.softmax(w, dim=-1) - w).abs().mean() for w in parameters]).sum()


# What a live module counts against the budget before the search ends.
SIZES: dict[str, Callable[[Architecture], torch.Tensor]] = {
    "expected": Architecture.expected_sizes,
    "preferred": Architecture.preferred_sizes,
}
