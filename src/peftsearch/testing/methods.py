"""The contract of search methods: within the budget, repeatable, and able to go on where they were stopped."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from peftsearch import Result, search
from peftsearch.searches.method import METHODS, Driver
from peftsearch.space import SPACES
from peftsearch.testing.cases import parametrise
from peftsearch.testing.small_runs import small_run, write_review_files
from peftsearch.testing.stopping import counted, stopped_often
from peftsearch.testing.tiny_models import save_tiny

_SAMPLES = 24
_TRAINING = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 3e-3, "max_seq_length": 16}
_SMALL_BATCHES = _TRAINING | {"save_steps": 1, "per_device_train_batch_size": 4}
# Passes of one trial with small batches, and two more: a trial that is stopped starts again.
_FEWEST_STEPS = {
    Driver.TRIALS: _SAMPLES // 4 + 2,
    Driver.GATES: 3,
    Driver.INHERITED: 3,
    Driver.GROWTH: 3,
    Driver.RACE: 3,
}
_NUM_STARTS = 6


class MethodTests:
    """The contract of a search method, which runs with the `quick` settings of its entry.

    Derive from it and name the methods.

    Example:
        class TestHalving(MethodTests):
            methods = ("halving",)
    """

    methods: Iterable[str] = ()
    # Names of tiny models, and parameters.
    families: Iterable[str] = ("bert", "t5", "llama")
    budgets: Iterable[Any] = ("500", "1500")
    # Names of the spaces that users may want to search with any method; those that it cannot search are skipped.
    spaces: Iterable[str] = ("mixed", "lora")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test for every method, and for every model, budget and space where it takes them."""
        parametrise(metafunc, method=self.methods, family=self.families, budget=self.budgets, space=self.spaces)

    @pytest.fixture
    def tiny(self, tmp_path) -> Callable[..., Result]:
        """Search with a method, on a tiny model of a family and a tiny task."""
        reviews = write_review_files(tmp_path)
        fixed = {"reviews": reviews, "baseline": False, "max_train_samples": _SAMPLES}

        def run(method: str, family: str, budget: str, **changes: Any) -> Result:
            model = tmp_path / family
            if not model.exists():
                save_tiny(family, model)
            given = {"output": tmp_path / "run", "training": _TRAINING} | changes
            chosen = {"name": method, **METHODS[method].quick}
            return search(**small_run(model=model, budget=budget, method=chosen, **fixed, **given))

        return run

    def test_the_default_space_is_one_that_the_method_can_search(self, method):
        assert SPACES[METHODS[method].space].encoding in METHODS[method].encodings

    def test_the_saved_adapter_is_within_the_budget(self, method, family, budget, tiny):
        result = tiny(method, family, budget)
        assert 0 < result.metrics["parameters"] <= int(budget)
        assert result.metrics["method"] == method and result.metrics["modules"] == len(result.configuration)

    def test_it_searches_other_spaces_of_its_encodings(self, method, space, tiny):
        if SPACES[space].encoding not in METHODS[method].encodings:
            pytest.skip(f"{method} has another way to search")
        result = tiny(method, "bert", "1500", space=space)
        assert 0 < result.metrics["parameters"] <= 1500 and result.metrics["space"] == space
        assert {choice.kind for choice in result.configuration} <= SPACES[space].roles.keys()

    def test_the_same_seed_gives_the_same_result_also_when_stopped_every_few_steps(
        self, method, tiny, monkeypatch, tmp_path
    ):
        def run(folder: str, *, resume: bool = False) -> Result:
            output = tmp_path / folder
            return tiny(method, "bert", "1500", output=output, resume=resume, training=_SMALL_BATCHES)

        first, num_steps = counted(lambda: run("first"), monkeypatch)
        every = max(_FEWEST_STEPS[METHODS[method].driver], num_steps // _NUM_STARTS)
        second, num_stops = stopped_often(lambda resume: run("second", resume=resume), monkeypatch, every=every)
        assert num_stops >= 2, "the search is too short to be stopped twice: let `quick` ask for a larger one"
        assert first.configuration == second.configuration
        for split in ("validation", "test"):
            assert first.metrics[split] == second.metrics[split]
        tensors = [(found.folder / "adapter" / "adapter_model.safetensors").read_bytes() for found in (first, second)]
        assert tensors[0] == tensors[1]
        assert not list(second.folder.rglob("checkpoints"))
