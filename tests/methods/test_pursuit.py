import pytest
import torch
from torch import nn

from peftsearch.methods.pursuit.directions import Directions, crossed_square, directions_of, random_frame, range_of
from peftsearch.methods.pursuit.method import Pursuit
from peftsearch.methods.pursuit.settings import PursuitSettings
from peftsearch.methods.pursuit.sketch import ROW_SQUARE, LoraSketch
from peftsearch.methods.pursuit.units import Unit, add_units
from peftsearch.modules.kinds.lora import Lora
from peftsearch.space import Choice, Configuration, Placement, SearchSpace

VALUE, QUERY = Placement("encoder.0.value", "lora"), Placement("encoder.0.query", "lora")
NORM = Placement("encoder.0.ffn_norm", "lnfit")
SPACE = SearchSpace(
    {Choice(VALUE.site, "lora", rank): 20 * rank for rank in (1, 2, 3)}
    | {Choice(QUERY.site, "lora", rank): 20 * rank for rank in (1, 2, 3)}
    | {Choice(NORM.site, "lnfit"): 10}
)


def decaying(out_width: int, in_width: int, *, seed: int = 0) -> torch.Tensor:
    """A matrix whose singular values fall by half."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.linalg.qr(torch.randn(out_width, out_width, generator=generator)).Q[:, :12]
    v = torch.linalg.qr(torch.randn(in_width, in_width, generator=generator)).Q[:, :12]
    return u @ torch.diag(0.5 ** torch.arange(12)) @ v.T


def look(lora: Lora, loss_of, *, held: int = 0) -> LoraSketch:
    """Both passes, with the loss of a function of the module's change of the weight as the only part."""
    sketch = LoraSketch(lora, held)

    def gradient(tensor: torch.Tensor) -> list[torch.Tensor]:
        return [torch.autograd.grad(loss_of(part, lora.B @ lora.A), tensor)[0] for part in (0, 1)]

    sketch.draw_rows(torch.Generator().manual_seed(2))
    sketch.look_along(torch.Generator().manual_seed(1))
    sketch.read_range(gradient(lora.B))
    sketch.read_directions(gradient(lora.A))
    return sketch


class TestDirections:
    def test_a_sketch_finds_the_leading_directions_of_the_full_gradient(self):
        gradient = decaying(40, 30)
        sketch = look(Lora(nn.Linear(30, 40), 16), lambda part, delta: (gradient * delta).sum())
        _, values, right = torch.linalg.svd(gradient)
        # Cosines of the angles between the two subspaces of four directions.
        cosines = torch.linalg.svdvals(sketch.directions.right[:4] @ right[:4].T)
        assert cosines.min() > 0.9999
        torch.testing.assert_close(sketch.directions.gains[:4], values[:4] ** 2 * ROW_SQUARE, rtol=1e-3, atol=0)

    def test_held_components_stay_and_new_ones_have_no_effect(self):
        lora = Lora(nn.Linear(30, 40), 18)
        nn.init.normal_(lora.B)
        held_a, held_b = lora.A[:2].detach().clone(), lora.B[:, :2].detach().clone()
        gradient = decaying(40, 30)
        sketch = look(lora, lambda part, delta: (gradient * delta).sum(), held=2)
        grown = sketch.grown(5)
        assert grown["A"].shape == (5, 30) and grown["B"].shape == (40, 5)
        torch.testing.assert_close(grown["B"] @ grown["A"], held_b @ held_a)
        torch.testing.assert_close(grown["A"][2:].square().sum(1), torch.full((3,), ROW_SQUARE))

    def test_a_gain_is_the_fall_of_the_loss_that_a_small_step_brings(self):
        torch.manual_seed(0)
        x, y = torch.randn(50, 30).double(), torch.randn(50, 20).double()
        first, second = nn.Linear(30, 25).double(), nn.Linear(25, 20).double()

        def loss_of(part: int, delta: torch.Tensor) -> torch.Tensor:
            hidden = first(x) + x @ delta.T
            return (second(hidden) - y).square().mean()

        sketch = look(Lora(first, 20).double(), loss_of)
        grown = sketch.grown(1)
        b = grown["B"].clone().requires_grad_(True)
        before = loss_of(0, b @ grown["A"])
        (gradient,) = torch.autograd.grad(before, b)
        rate = 1e-3
        after = loss_of(0, (b - rate * gradient) @ grown["A"])
        assert (before - after).item() == pytest.approx(rate * float(sketch.directions.gains[0]), rel=1e-3)

    def test_layers_that_are_narrower_than_the_sketch(self):
        gradient = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
        sketch = look(Lora(nn.Linear(5, 3), 16), lambda part, delta: (gradient * delta).sum())
        values = torch.linalg.svdvals(gradient)
        torch.testing.assert_close(sketch.directions.gains[:3], values**2 * ROW_SQUARE, rtol=1e-4, atol=1e-6)

    def test_noise_adds_nothing_to_a_gain(self):
        generator = torch.Generator().manual_seed(0)
        noise = [[torch.randn(8, 100, generator=generator) for _ in range(4)] for _ in range(50)]
        naive = torch.stack([torch.linalg.svdvals(torch.stack(parts).mean(0))[0] ** 2 for parts in noise]).mean()
        crossed = torch.stack([directions_of(parts).gains[0] for parts in noise]).mean()
        assert naive > 20 and crossed < naive / 5

    def test_a_sketch_finds_no_gain_in_noise_that_its_own_pass_has_not_seen(self):
        generator = torch.Generator().manual_seed(0)

        def passed(shape: tuple[int, int]) -> list[torch.Tensor]:
            return [torch.randn(shape, generator=generator) for _ in range(4)]

        found: dict[str, list[float]] = {"other": [], "same": []}
        for _ in range(20):
            lora = Lora(nn.Linear(96, 384), 16)
            sketch = LoraSketch(lora, 0)
            sketch.look_along(generator)
            first = passed((384, 96))
            frame = lora.A.detach().clone()
            sketch.read_range([gradient @ frame.T for gradient in first])
            basis = lora.B.detach().clone()
            for name, second in (("other", passed((384, 96))), ("same", first)):
                sketch.read_directions([basis.T @ gradient for gradient in second])
                found[name].append(float(sketch.directions.gains.sum()) / ROW_SQUARE)
        other, same = (sum(gains) / len(gains) for gains in found.values())
        # Sixteen squares of the mean's noise have about 16 * 96 / 4.
        assert other < 0.2 * 16 * 96 / 4 < same

    def test_the_direction_of_one_odd_part_comes_after_one_that_all_parts_share(self):
        # Sixteen parts: 1 along y in each, and 20 along x in the first alone, whose mean of 1.25 is larger.
        parts = [torch.tensor([[20.0 if i == 0 else 0.0, 0.0], [0.0, 1.0]]) for i in range(16)]
        found = directions_of(parts)
        torch.testing.assert_close(found.right.abs(), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        # Left out one by one: x is 0 in fifteen parts, and in the first the others have none of it.
        torch.testing.assert_close(found.gains, torch.tensor([15 / 16, 1 / 16]))
        torch.testing.assert_close(found.shares, torch.tensor([15 / 16, 1 / 16 / 1.25**2]))

    def test_a_row_of_a_noisy_direction_is_mostly_drawn(self):
        lora = Lora(nn.Linear(2, 2), 2)
        drawn = (2 * torch.rand(2, 2, generator=torch.Generator().manual_seed(3)) - 1) / 2**0.5
        sketch = LoraSketch(lora, 0)
        sketch.draw_rows(torch.Generator().manual_seed(3))
        sketch.directions = Directions(torch.eye(2), torch.ones(2), torch.tensor([1.0, 0.25]))
        rows = sketch.grown(2)["A"]
        torch.testing.assert_close(rows[0], torch.tensor([ROW_SQUARE**0.5, 0.0]))
        torch.testing.assert_close(rows[1], torch.tensor([0.0, 0.5 * ROW_SQUARE**0.5]) + 0.75**0.5 * drawn[1])

    def test_rows_are_drawn_as_lora_draws_them_and_anew_for_each_component(self):
        lora, later = Lora(nn.Linear(3000, 2), 3), Lora(nn.Linear(3000, 2), 3)
        rows = []
        for module, held in ((lora, 0), (later, 1)):
            sketch = LoraSketch(module, held)
            sketch.draw_rows(torch.Generator().manual_seed(0))
            sketch.directions = Directions(torch.zeros(3, 3000), torch.zeros(3), torch.zeros(3))
            rows.append(sketch.grown(3)["A"][held:])
        # Uniform within 1 / sqrt(in), as the module itself starts.
        torch.testing.assert_close(rows[0].std(), lora.A.std(), rtol=0.05, atol=0)
        assert float(rows[0].abs().max()) <= float(3000**-0.5)
        # The row of the held component is not drawn twice.
        torch.testing.assert_close(rows[0][1:], rows[1])

    def test_the_crossed_square_is_the_mean_product_of_two_parts(self):
        assert crossed_square([torch.tensor([1.0, 0.0]), torch.tensor([1.0, 2.0])]) == 1.0
        assert crossed_square([torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([4.0])]) == pytest.approx(14 / 3)
        assert crossed_square([torch.tensor([1.0]), torch.tensor([-1.0])]) == 0.0

    def test_frames_are_orthonormal(self):
        frame = random_frame(4, 10, torch.Generator().manual_seed(0))
        torch.testing.assert_close(frame @ frame.T, torch.eye(4))
        basis = range_of([torch.randn(10, 4), torch.randn(10, 4)])
        torch.testing.assert_close(basis.T @ basis, torch.eye(4))


class TestUnits:
    def test_units_come_by_their_gain_per_parameter_and_what_does_not_fit_is_skipped(self):
        units = [Unit(VALUE, 8.0), Unit(VALUE, 7.0), Unit(QUERY, 5.0), Unit(NORM, 3.0)]
        # Per parameter: 0.4, 0.35, 0.25, 0.3.
        assert ranks(add_units(SPACE, Configuration(), units, budget=40)) == {VALUE: 2}
        assert ranks(add_units(SPACE, Configuration(), units, budget=50)) == {VALUE: 2, NORM: 1}
        assert ranks(add_units(SPACE, Configuration(), units, budget=35)) == {VALUE: 1, NORM: 1}

    def test_what_is_held_stays_and_grows(self):
        held = Configuration.of([Choice(QUERY.site, "lora", 1), Choice(NORM.site, "lnfit")])
        grown = add_units(SPACE, held, [Unit(QUERY, 4.0), Unit(VALUE, 2.0)], budget=50)
        assert ranks(grown) == {QUERY: 2, NORM: 1}

    def test_units_without_gain_and_beyond_the_largest_rank_are_left_out(self):
        units = [Unit(VALUE, 5.0)] * 4 + [Unit(NORM, 0.0)]
        assert ranks(add_units(SPACE, Configuration(), units, budget=1000)) == {VALUE: 3}


def ranks(configuration: Configuration) -> dict[Placement, int]:
    return {choice.placement: choice.rank for choice in configuration}


class TestStages:
    def stages(self, *budgets: int, **settings: int) -> list[tuple[int, int]]:
        method = Pursuit(SPACE, budgets=budgets, settings=PursuitSettings(between=7, **settings), seed=0)
        return [tuple(stage) for stage in method.stages()]

    def test_shares_of_the_budget_with_trainings_in_between(self):
        assert self.stages(80, stages=4) == [(20, 7), (40, 7), (60, 7), (80, 0)]
        assert self.stages(80) == [(80, 0)]

    def test_a_ladder_has_a_stage_at_each_budget(self):
        assert self.stages(100, 30, stages=2) == [(30, 7), (50, 7), (100, 0)]

    def test_shares_that_hold_no_module_are_left_out(self):
        assert self.stages(30, stages=4) == [(15, 7), (22, 7), (30, 0)]
