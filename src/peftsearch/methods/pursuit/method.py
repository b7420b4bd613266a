"""Gradient pursuit: add the units whose gradient promises the largest fall of the loss per parameter.

Ours, after matching pursuit (Mallat and Zhang 1993); docs/pursuit.md says what it does and what was measured.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch

from peftsearch.methods.pursuit.directions import crossed_square
from peftsearch.methods.pursuit.settings import PursuitSettings
from peftsearch.methods.pursuit.sketch import LoraSketch
from peftsearch.methods.pursuit.units import Unit, add_units
from peftsearch.modules.kinds.lora import Lora
from peftsearch.modules.peft_module import KINDS, PeftModule
from peftsearch.searches.growth import Gradients, Grower, Grown, Stage, leading, put_leading
from peftsearch.space import Choice, Configuration, Placement, SearchSpace
from peftsearch.supernet.supernet import Supernet


class Pursuit(Grower):
    """Scores LoRA's directions by the singular values of a map's gradient, other modules by their own gradient.

    Args:
        space: with every rank up to the largest.
        budgets: in parameters.
        settings: the method's settings.
        seed: of the frames in which directions are looked for.
    """

    def __init__(self, space: SearchSpace, *, budgets: Sequence[int], settings: PursuitSettings, seed: int):
        self.space, self.settings, self.seed = space, settings, seed
        self.budgets, self.num_examples = sorted(set(budgets)), settings.examples

    def stages(self) -> list[Stage]:
        largest, count = self.budgets[-1], self.settings.stages
        shares = {largest * k // count for k in range(1, count)}
        cheapest = self.space.cost_of(self.space.cheapest)
        ends = sorted({*self.budgets, *(share for share in shares if share >= cheapest)})
        return [Stage(end, 0 if end == largest else self.settings.between) for end in ends]

    def candidates(self, held: Configuration) -> Configuration:
        ranks = {choice.placement: choice.rank for choice in held}
        return Configuration.of(
            Choice(p.site, p.kind, ranks.get(p, 0) + self.settings.sketch if KINDS[p.kind].ranked else 1)
            for p in self.space.ranks
        )

    def grow(self, supernet: Supernet, held: Grown, gradients: tuple[Gradients, Gradients], *, budget: int) -> Grown:
        modules = {placement: supernet.module(placement) for placement in supernet.live}
        for placement, tensors in held.tensors.items():
            put_leading(modules[placement], tensors)
        ranks = {choice.placement: choice.rank for choice in held.configuration}
        sketches = {p: LoraSketch(m, ranks.get(p, 0)) for p, m in modules.items() if isinstance(m, Lora)}
        others = {p: m for p, m in modules.items() if p not in sketches and (m.ranked or p not in ranks)}
        gains = self._measure(sketches, others, gradients)
        units = [Unit(p, gain) for p, found in gains.items() for gain in found]
        grown = add_units(self.space, held.configuration, units, budget=budget)
        tensors = {
            p: sketches[p].grown(rank) if p in sketches else leading(modules[p], rank)
            for p, rank in ((choice.placement, choice.rank) for choice in grown)
        }
        return Grown(grown, tensors)

    def restart(self, grown: Grown) -> Grown:
        tensors = {
            placement: {"A": own["A"], "B": torch.zeros_like(own["B"])}
            for placement, own in grown.tensors.items()
            if placement.kind == Lora.kind
        }
        return Grown(grown.configuration, tensors)

    def _measure(
        self,
        sketches: Mapping[Placement, LoraSketch],
        others: Mapping[Placement, PeftModule],
        gradients: tuple[Gradients, Gradients],
    ) -> dict[Placement, list[float]]:
        """Gains of the units of every placement, in the order in which they are to be added."""
        generator = torch.Generator().manual_seed(self.seed)
        for sketch in sketches.values():
            sketch.look_along(generator)
        for sketch in sketches.values():
            sketch.draw_rows(generator)
        tensors = {p: list(module.parameters()) for p, module in others.items()}
        wanted = [*(sketch.module.B for sketch in sketches.values()), *(t for own in tensors.values() for t in own)]
        look, measure = gradients
        first = _by_tensor(look(wanted))
        for sketch in sketches.values():
            sketch.read_range(next(first))
        of_others = {p: [next(first) for _ in own] for p, own in tensors.items()}
        if sketches:
            second = _by_tensor(measure([sketch.module.A for sketch in sketches.values()]))
            for sketch in sketches.values():
                sketch.read_directions(next(second))
        limit = self.settings.most_directions or None
        of_maps = {p: sketch.directions.gains.tolist()[:limit] for p, sketch in sketches.items()}
        return of_maps | {p: _component_gains(others[p], found) for p, found in of_others.items()}


def _by_tensor(by_part: list[list[torch.Tensor]]) -> Iterator[tuple[torch.Tensor, ...]]:
    return iter(zip(*by_part, strict=True))


def _component_gains(module: PeftModule, gradients: Sequence[Sequence[torch.Tensor]]) -> list[float]:
    """The gain of a module, shared by its components alike: each is drawn at random.

    Args:
        module: at the size of a candidate.
        gradients: of each of its parameters, one for each part of the examples.
    """
    count = next((getattr(module, name).shape[axis] for name, axis in module.rank_axes.items()), 1)
    scale = module.learning_rate_scale
    return [scale * sum(crossed_square(found) for found in gradients) / count] * count
