"""Architecture parameters: logits over what is on and at which rank, kept outside of the model."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch.nn.functional import gumbel_softmax, one_hot

from peftsearch.space import Choice, Placement, SearchSpace
from peftsearch.supernet.supernet import rank_masks

INITIAL_SCALE = 1e-3

# (logits (decisions, options), temperature) -> weights (decisions, options), each row summing to 1
Relaxation = Callable[[torch.Tensor, float], torch.Tensor]


def gumbel(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Sample one option a row; the gradient is that of the Gumbel-softmax (straight-through).

    Source: Jang et al. 2017, "Categorical reparameterization with Gumbel-softmax", section 2.2.
    """
    return gumbel_softmax(logits, tau=temperature, hard=True)


def softmax(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Weigh all options by their probability; the temperature plays no part (BIPEFT's ablation "no Gumbel")."""
    return torch.softmax(logits, dim=-1)


RELAXATIONS: dict[str, Relaxation] = {"gumbel": gumbel, "softmax": softmax}


class OptionTable:
    """The ranks of every placement as rectangular tensors; row i is placement i, column d its d-th rank.

    Placements with fewer ranks than others have columns that are not valid.
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
        self.masks = rank_masks(self.ranks.flatten().tolist(), largest).view(*self.ranks.shape, largest)

    def one_hot_of(self, columns: torch.Tensor) -> torch.Tensor:
        """(placements, columns) one-hot rows at the given column of each placement."""
        return one_hot(columns, self.ranks.shape[1]).float()


class Architecture(ABC):
    """Probabilities of a search space; the search methods read and train them.

    Args:
        table: ranks of the space.
    """

    # Stages that this architecture can train, in their order; each names what is relaxed.
    stages: tuple[str, ...]

    def __init__(self, table: OptionTable):
        self.table = table
        # Column of each placement's fixed rank; -1 while undetermined.
        self.fixed = torch.where(table.is_ranked, -1, 0)

    @abstractmethod
    def parameters(self, stage: str) -> list[torch.Tensor]:
        """Tensors that a stage trains."""

    @abstractmethod
    def sample(self, stage: str, relaxation: Relaxation, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Relax one stage, with gradients to its parameters.

        Returns:
            (placements,) gates in [0, 1], and (placements, columns) weights of the ranks.
        """

    @abstractmethod
    def on_probability(self) -> torch.Tensor:
        """(placements,) probability that a placement is on: P_n."""

    @abstractmethod
    def rank_logits(self) -> torch.Tensor:
        """(placements, columns) detached logits of the ranks; -inf where a column is not valid."""

    def rank_probability(self) -> torch.Tensor:
        """(placements, columns) probability of each rank; one-hot where the rank is fixed."""
        free = torch.softmax(self.rank_logits(), dim=-1)
        return torch.where((self.fixed >= 0)[:, None], self.table.one_hot_of(self.fixed.clamp_min(0)), free)

    def preferred_column(self) -> torch.Tensor:
        """(placements,) column of the fixed rank, or of the most likely one."""
        return torch.where(self.fixed >= 0, self.fixed, self.rank_logits().argmax(-1))

    def fix(self, placements: torch.Tensor) -> None:
        """Fix the ranks of the placements with these indices at their most likely rank, for good."""
        self.fixed[placements] = self.rank_logits().argmax(-1)[placements]

    def expected_sizes(self) -> torch.Tensor:
        """(placements,) P_n * q_n in parameters, where q_n is the expected size over the ranks (eqs 7-8)."""
        return self.on_probability().double() * (self.rank_probability().double() * self.table.costs).sum(-1)


class Disentangled(Architecture):
    """One binary decision for each placement and a separate one for its rank.

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
    """One decision for each placement over "off" and every rank: the space of earlier methods, ablated in Table 2."""

    stages = ("joint",)

    def __init__(self, table: OptionTable):
        super().__init__(table)
        rows, columns = table.ranks.shape
        self.gamma = (INITIAL_SCALE * torch.randn(rows, 1 + columns)).requires_grad_()  # columns: off, ranks

    def parameters(self, stage: str) -> list[torch.Tensor]:
        return [self.gamma]

    def sample(self, stage: str, relaxation: Relaxation, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        weights = relaxation(self._masked_gamma(), temperature)
        off, ranks = weights[:, :1], weights[:, 1:]
        # What is off stands at its most likely rank: with gate and rank mask both zero neither would get a gradient.
        return 1 - off[:, 0], ranks + off.detach() * self.table.one_hot_of(self.preferred_column())

    def on_probability(self) -> torch.Tensor:
        return 1 - torch.softmax(self._masked_gamma().detach(), dim=-1)[:, 0]

    def rank_logits(self) -> torch.Tensor:
        return self._masked_gamma().detach()[:, 1:]

    def _masked_gamma(self) -> torch.Tensor:
        off = torch.ones(len(self.gamma), 1, dtype=torch.bool)
        return self.gamma.masked_fill(~torch.cat([off, self.table.valid], dim=1), -torch.inf)


def regularisation(parameters: list[torch.Tensor]) -> torch.Tensor:
    """Sum over tensors of mean |softmax(w) - w|, which keeps logits near probabilities (from BIPEFT's public code)."""
    return sum((torch.softmax(w, dim=-1) - w).abs().mean() for w in parameters)
