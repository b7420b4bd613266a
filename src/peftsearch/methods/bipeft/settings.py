"""BIPEFT's settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import ABOVE_ZERO, SHARE, SHARE_BELOW_ONE, at_least, between, limited, one_of

# With fewer steps there is too little between warm-up and end for rankings to settle.
FEWEST_STEPS = 40

# What the paper does where our defaults differ.
PAPER = {"decay": 0.85, "sensitivity": "cosine", "sizes": "expected", "ranks": "trained"}


@dataclass(frozen=True)
class BipeftSettings(MethodSettings):
    """Settings of BIPEFT; docs/bipeft.md says why four defaults are not the paper's.

    Args:
        preset: "paper" for the paper's decay, sensitivity, sizes and ranks; settings that are given as well stand
            above it.
        max_triggers: K, triggers after which the search stops.
        decay: of the moving average of sensitivities (eq. 4), in [0, 1).
        window: consecutive indicator pairs whose mean cosine decides on a trigger (eq. 5).
        threshold: tau, mean cosine from which the indicator counts as stable, in [-1, 1].
        warmup: steps before the first trigger; a share of the planned steps if below 1.
        weight_warmup: first steps that train weights only, since zero-initialised modules give gates no gradient.
        learning_rate: of the architecture parameters.
        weight_decay: of the architecture parameters.
        regularisation: factor of mean |softmax(w) - w| for each architecture tensor.
        temperature_start: Gumbel-softmax temperature at the first step.
        temperature_end: temperature at the last planned step.
        cost: planned time of the search as a share of the training's, in (0, 1]. It is the ratio of their epochs,
            since a step of the search takes two passes, and its epoch covers half of the data. If that gives fewer
            than 40 steps, the search takes 40, but no more epochs than the training.
        epochs: planned passes over the weight half; 0 for what `cost` gives.
        order: "iterative", "binary_then_rank", "rank_then_binary" or "entangled" (Table 2).
        sampling: "gumbel" or "softmax" (Table 2: no Gumbel).
        selection: "early" removes and fixes on triggers; "final" selects once at the end (Table 2).
        sensitivity: "cosine" (eq. 3), "trn", "val" or "trn+val", or ours: "effect", the first-order rise of the loss
            without the module, per parameter.
        trigger: what has to reach the threshold: the "cosine" of indicators (eq. 5), or ours: their "agreement" beyond
            chance; "schedule" triggers at every step.
        sizes: what a module counts in the expected size: "expected", by the probabilities of its gate and ranks (eqs 7
            and 8), or ours: "preferred", all of it at its most likely rank.
        ranks: "trained" (section 3.2), or ours: "smallest", the smallest rank of each throughout, so that the repair
            at the end gives larger ones in order of the scores.

    Example:
        search(model="demo", task="demo", budget="0.5%", method={"name": "bipeft", "cost": 0.5, "max_triggers": 50})
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": PAPER}

    preset: str = limited("", one_of("", "paper"))
    max_triggers: int = limited(100, at_least(1))
    decay: float = limited(0.97, SHARE_BELOW_ONE)
    window: int = limited(5, at_least(1))
    threshold: float = limited(0.85, between(-1, 1))
    warmup: float = limited(0.1, at_least(0))
    weight_warmup: int = limited(5, at_least(0))
    learning_rate: float = limited(0.01, ABOVE_ZERO)
    weight_decay: float = limited(1e-4, at_least(0))
    regularisation: float = limited(0.01, at_least(0))
    temperature_start: float = limited(5.0, ABOVE_ZERO)
    temperature_end: float = limited(1.0, ABOVE_ZERO)
    cost: float = limited(0.25, SHARE)
    epochs: float = limited(0.0, at_least(0))
    order: str = limited("iterative", one_of("iterative", "binary_then_rank", "rank_then_binary", "entangled"))
    sampling: str = limited("gumbel", one_of("gumbel", "softmax"))
    selection: str = limited("early", one_of("early", "final"))
    sensitivity: str = limited("effect", one_of("cosine", "trn", "val", "trn+val", "effect"))
    trigger: str = limited("cosine", one_of("cosine", "agreement", "schedule"))
    sizes: str = limited("preferred", one_of("expected", "preferred"))
    ranks: str = limited("smallest", one_of("trained", "smallest"))

    def planned_epochs(self, of_training: float, steps_per_epoch: int) -> float:
        return self.epochs or min(of_training, max(self.cost * of_training, FEWEST_STEPS / steps_per_epoch))
