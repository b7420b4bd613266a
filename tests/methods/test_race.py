"""The race's rules against hand-made losses, and its pool."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from peftsearch.errors import BudgetError, ConfigurationError, UnknownNameError
from peftsearch.methods.race.elimination import Schedule, is_close, survivors
from peftsearch.methods.race.pool import Pool, hand_recipes
from peftsearch.methods.race.rates import RaceRates
from peftsearch.methods.race.settings import RaceSettings
from peftsearch.modules.costs import cost, cost_at
from peftsearch.run.race import race_rates
from peftsearch.searches.trials import Problem
from peftsearch.settings import SettingError
from peftsearch.space import SPACES, Choice, Configuration, Role, SearchSpace, Site
from peftsearch.space.encoding import ENCODINGS

WIDTH = 8
SITES = [
    Site("encoder", layer, role, f"layer.{layer}.{role}", WIDTH, WIDTH)
    for layer in range(2)
    for role in (Role.QUERY, Role.KEY, Role.VALUE, Role.ATTENTION_OUTPUT, Role.FFN_IN, Role.FFN_OUT, Role.FFN_NORM)
]


def tried_with(rates: RaceRates, losses: dict[float, float]) -> list[float]:
    """The rates that are tried, in order, where each leads to the loss given for it."""
    known = {rates.first: losses[rates.first]}
    while (rate := rates.next(known)) is not None:
        known[rate] = losses[rate]
    return list(known)


class TestRates:
    def test_each_is_twice_the_next_lower_one(self):
        experiment: Any = SimpleNamespace(rates=(3e-3, 1e-2, 3e-2), given_rates=())
        found = race_rates(experiment, RaceSettings(rates=3))
        assert found == RaceRates(1e-2, (2e-2, 4e-2), (5e-3,), 3)
        assert race_rates(experiment, RaceSettings(rates=1)) == RaceRates(1e-2, (), (), 1)

    def test_of_those_that_the_user_names_all_may_be_tried(self):
        given = (1e-3, 2e-3, 4e-3, 9e-3)
        experiment: Any = SimpleNamespace(rates=given, given_rates=given)
        assert race_rates(experiment, RaceSettings(rates=1)) == RaceRates(4e-3, (9e-3,), (2e-3, 1e-3), 4)

    @pytest.mark.parametrize(
        ("losses", "tried"),
        [
            # Up while that helps.
            ({1e-2: 0.9, 2e-2: 0.8, 4e-2: 0.85}, [1e-2, 2e-2, 4e-2]),
            ({1e-2: 0.9, 2e-2: 0.8, 4e-2: 0.7, 8e-2: 0.6}, [1e-2, 2e-2, 4e-2, 8e-2]),
            # Down where the first step up does not help, and on while that does.
            ({1e-2: 0.9, 2e-2: 0.95, 5e-3: 0.92}, [1e-2, 2e-2, 5e-3]),
            ({1e-2: 0.9, 2e-2: 0.95, 5e-3: 0.8}, [1e-2, 2e-2, 5e-3]),
            # The same loss is no help, nor is a lane that broke down.
            ({1e-2: 0.9, 2e-2: 0.9, 5e-3: 0.9}, [1e-2, 2e-2, 5e-3]),
            ({1e-2: 0.9, 2e-2: math.inf, 5e-3: 0.9}, [1e-2, 2e-2, 5e-3]),
            # Down at once from one that broke down.
            ({1e-2: math.inf, 5e-3: math.inf}, [1e-2, 5e-3]),
        ],
    )
    def test_up_while_that_helps_and_otherwise_down(self, losses, tried):
        assert tried_with(RaceRates.doubling(1e-2, 4), losses) == tried

    @pytest.mark.parametrize(("count", "tried"), [(1, [1e-2]), (2, [1e-2, 2e-2]), (3, [1e-2, 2e-2, 4e-2])])
    def test_no_more_than_the_settings_say(self, count, tried):
        losses = {1e-2: 0.9, 2e-2: 0.8, 4e-2: 0.7, 8e-2: 0.6}
        assert tried_with(RaceRates.doubling(1e-2, count), losses) == tried
        assert tried_with(RaceRates.doubling(1e-2, 4).at_most(count), losses) == tried

    def test_the_plan_in_words(self):
        up = ", the best also at 0.02, 0.04 while that helps"
        assert RaceRates.doubling(1e-2, 3).plan == f"{up}, otherwise at 0.005"
        assert RaceRates.doubling(1e-2, 2).plan == ", the best also at 0.02 while that helps"
        assert RaceRates.doubling(1e-2, 1).plan == ""
        # What may not be tried is not said.
        assert RaceRates.doubling(1e-2, 4).at_most(3) == RaceRates.doubling(1e-2, 3)
        assert RaceRates.doubling(1e-2, 4).at_most(2).plan == ", the best also at 0.02 while that helps"
        assert RaceRates.of_grid(1e-2, [5e-3, 1e-2]).plan == ", the best also at 0.005 while that helps"


class TestSchedule:
    def test_shares_of_the_steps_and_lanes(self):
        found = Schedule(640, 11, 2).rungs
        assert [(r.step, r.keep, r.retried) for r in found] == [
            (20, 6, 0),
            (40, 4, 0),
            (80, 3, 2),
            (160, 2, 0),
            (320, 1, 0),
            (480, 1, 0),
        ]
        assert [r.judges for r in found] == [1 / 4, 1 / 2, 1, 1, 1, 1]

    def test_of_four_lanes_none_leaves_before_the_other_rates_start(self):
        found = [(r.step, r.keep, r.retried) for r in Schedule(640, 4, 3).rungs]
        assert found == [(80, 3, 2), (160, 2, 0), (320, 1, 0), (480, 1, 0)]
        assert [(r.step, r.keep) for r in Schedule(640, 5).rungs][:2] == [(20, 4), (40, 4)]

    def test_a_single_lane_still_tries_the_other_rates(self):
        assert [(rung.keep, rung.retried) for rung in Schedule(640, 1, 3).rungs] == [(3, 1), (1, 0), (1, 0), (1, 0)]

    def test_short_trainings_have_fewer_rungs(self):
        assert [(r.step, r.keep, r.retried) for r in Schedule(4, 8, 2).rungs] == [(1, 2, 2), (2, 1, 0), (3, 1, 0)]
        assert Schedule(1, 8).rungs == ()

    def test_the_cost_is_the_sum_of_all_steps(self):
        # 11 to step 20, 6 to 40, 4 to 80, where 2 more come from the start, 3 to 160, 2 to 320, 1 to 640.
        schedule = Schedule(640, 11, 2)
        assert schedule.cost == (11 * 20 + 6 * 20 + 4 * 40 + 2 * 80 + 3 * 80 + 2 * 160 + 320) / 640
        assert schedule.steps_left(at=80, going=4) == 4 * 80 + 2 * 160 + 320
        # The default: 2 to 80, where at most 4 more come from the start, the better one at three other rates and the
        # other at one, 3 to 160, 2 to 320, 1 to 640.
        assert Schedule(640, 2, 4).cost == (2 * 80 + 4 * 80 + 3 * 80 + 2 * 160 + 320) / 640 == 2.125
        # With a close rival at a half a quarter of a training more, which the default cost allows.
        taken = 2 * 80 + 4 * 80 + 3 * 80 + 2 * 160
        assert taken + Schedule(640, 2, 4).steps_left(at=320, going=2) == RaceSettings().cost * 640

    def test_lanes_are_left_out_until_the_cost_holds(self):
        kept = Schedule(640, 40, 2).within(2.5)
        assert kept.cost <= 2.5 < Schedule(640, kept.num_lanes + 1, 2).cost

    def test_then_rates_are_left_out(self):
        # One lane and both further rates: 1/8 + 2/8, 3/8 more to S/4, 3/4 to the end.
        assert Schedule(640, 2, 3).within(1.5) == Schedule(640, 1, 3) and Schedule(640, 1, 3).cost == 1.5
        assert Schedule(640, 2, 3).within(1.25) == Schedule(640, 1, 2) and Schedule(640, 1, 2).cost == 1.25
        assert Schedule(640, 2, 3).within(1) == Schedule(640, 1, 1) and Schedule(640, 1, 1).cost == 1

    def test_in_a_training_of_one_step_one_lane_starts(self):
        assert Schedule(1, 2, 4).within(3) == Schedule(1, 1, 1) and Schedule(1, 1, 1).rungs == ()


class TestSurvivors:
    # Two lanes whose losses differ by chance, and one that is worse on every example.
    losses = {
        "best": [0.1, 0.5, 0.3, 0.8, 0.2, 0.6, 0.4, 0.7],
        "close": [0.2, 0.4, 0.4, 0.7, 0.3, 0.5, 0.5, 0.7],
        "worse": [0.4, 0.8, 0.6, 1.1, 0.5, 0.9, 0.7, 1.0],
        "broken": [],
    }
    apart = {lane: lane for lane in losses}

    def test_the_lowest_mean_losses_go_on(self):
        assert survivors(self.losses, 2, configurations=self.apart, may_keep_more=False) == ("best", "close")

    def test_a_close_rival_goes_on_while_the_cost_allows_it(self):
        assert survivors(self.losses, 1, configurations=self.apart, may_keep_more=True) == ("best", "close")
        assert survivors(self.losses, 1, configurations=self.apart, may_keep_more=False) == ("best",)

    def test_each_configuration_s_best_lane_goes_before_a_second_rate_of_another(self):
        rates = self.apart | {"close": "best"}
        assert survivors(self.losses, 2, configurations=rates, may_keep_more=False) == ("best", "worse")
        assert survivors(self.losses, 3, configurations=rates, may_keep_more=False) == ("best", "worse", "close")
        assert survivors(self.losses, 1, configurations=rates, may_keep_more=False) == ("best",)

    def test_a_lane_that_is_worse_on_every_example_is_no_rival(self):
        assert survivors(self.losses, 2, configurations=self.apart, may_keep_more=True) == ("best", "close")
        # All eight signs: the one-sided probability is 1 / 256.
        assert not is_close(self.losses["worse"], self.losses["best"])

    def test_equal_losses_are_close(self):
        assert is_close(self.losses["best"], self.losses["best"])

    def test_means_are_compared_and_not_ranks(self):
        # Seven of eight losses are higher, by a tenth, and one is lower by as much as all of them together.
        best = [0.2] * 7 + [1.0]
        assert is_close([0.3] * 7 + [0.3], best)
        # By hand: mean difference 0.2, deviation 0.1 * sqrt(8 / 7), so t = 5.29 with 7 degrees of freedom.
        assert not is_close([0.4, 0.2] * 4, [0.1] * 8)

    def test_a_lane_that_broke_down_goes_on_only_where_all_did(self):
        assert survivors(self.losses, 4, configurations=self.apart, may_keep_more=False) == ("best", "close", "worse")
        assert survivors({"a": [], "b": []}, 1, configurations={"a": "a", "b": "b"}, may_keep_more=True) == ("a",)


RECIPES = "uniform_lora,lnfit_lora,lnfit,bitfit,lora_qv"


def pool(**settings) -> Pool:
    space = SearchSpace.build(SPACES["mixed"], sites=SITES, cost=cost_at)
    problem = Problem(space, ENCODINGS["flat"](space, 200, SITES), (200,), seed=0)
    return Pool(problem, SITES, RaceSettings(**({"recipes": RECIPES} | settings)))


class TestPool:
    def test_entrants_are_within_the_budget_and_differ(self):
        found = pool(draws=3).entrants(200, proposed={})
        configurations = [entrant.configuration for entrant in found]
        assert len(set(configurations)) == len(configurations) >= 5
        assert all(0 < cost(configuration, SITES) <= 200 for configuration in configurations)
        assert len({entrant.name for entrant in found}) == len(found)

    def test_what_a_search_found_comes_first_and_equal_ones_once(self):
        by_hand = pool(draws=0).entrants(200, proposed={})
        again = pool(draws=0).entrants(200, proposed={"pursuit": by_hand[0].configuration})
        assert again[0].name == "pursuit" and len(again) == len(by_hand)

    def test_names_come_in_the_order_of_the_entrants(self, tmp_path):
        own = pool(recipes="lnfit").entrants(200, proposed={})[0].configuration
        own.save(tmp_path / "own.json")
        found = pool(recipes="uniform_lora", candidates=str(tmp_path / "own.json")).names(200)
        assert found == ["candidate_1", "pursuit", "bipeft", "uniform_lora"]

    def test_recipes_of_kinds_outside_of_the_space_are_left_out(self):
        space = SearchSpace.build(SPACES["lora"], sites=SITES, cost=cost_at)
        found, left_out = hand_recipes(["uniform_lora", "lnfit", "lnfit_lora"], space, SITES, budget=200)
        assert [entrant.name for entrant in found] == ["uniform_lora"]
        assert left_out == dict.fromkeys(["lnfit", "lnfit_lora"], "the space has no lnfit")

    def test_recipes_that_leave_most_of_the_budget_are_left_out_while_others_use_more(self):
        space = SearchSpace.build(SPACES["mixed"], sites=SITES, cost=cost_at)
        names = ["uniform_lora", "lnfit"]
        # Norm weights have 16 parameters.
        found, left_out = hand_recipes(names, space, SITES, budget=200)
        assert [entrant.name for entrant in found] == ["uniform_lora"]
        assert left_out == {"lnfit": "it takes 16 of 200 parameters, where others use most of them"}
        found, left_out = hand_recipes(["lnfit"], space, SITES, budget=200)
        assert [entrant.name for entrant in found] == ["lnfit"] and not left_out

    def test_recipes_for_which_the_budget_has_no_place_are_left_out(self):
        space = SearchSpace.build(SPACES["mixed"], sites=SITES, cost=cost_at)
        found, left_out = hand_recipes(["uniform_lora"], space, SITES, budget=3)
        assert not found and "budget" in left_out["uniform_lora"]

    def test_a_recipe_that_does_not_exist_is_named(self):
        with pytest.raises(UnknownNameError, match="lnfitt"):
            RaceSettings(recipes="uniform_lora,lnfitt")

    def test_a_search_that_cannot_take_part_is_named(self):
        with pytest.raises(UnknownNameError, match="Unknown search 'autopeft'.*Known: bipeft, .*pursuit"):
            RaceSettings(searches="pursuit,autopeft")

    @pytest.mark.parametrize("searches", ["", ",", " "])
    def test_a_race_of_nothing_is_refused(self, searches):
        with pytest.raises(SettingError, match=r"method\.searches"):
            RaceSettings(searches=searches)

    def test_candidates_from_files_are_checked(self, tmp_path):
        good, large, foreign = (tmp_path / f"{name}.json" for name in ("good", "large", "foreign"))
        Configuration.of([Choice("encoder.0.value", "lora", 2)]).save(good)
        Configuration.of([Choice("encoder.0.value", "lora", 16)]).save(large)
        Configuration.of([Choice("encoder.0.value", "ia3")]).save(foreign)
        assert pool(candidates=f"{good}").entrants(200, proposed={})[0].name == "candidate_1"
        earlier = tmp_path / "run"
        earlier.mkdir()
        good.rename(earlier / "configuration.json")
        found = pool(candidates=str(earlier)).entrants(200, proposed={})[0]
        assert found.configuration == Configuration.load(earlier / "configuration.json")
        good = earlier
        with pytest.raises(BudgetError, match="256 parameters, but the budget is 200"):
            pool(candidates=f"{good},{large}").entrants(200, proposed={})
        with pytest.raises(ConfigurationError, match="ia3 at encoder.0.value"):
            pool(candidates=str(foreign)).entrants(200, proposed={})
