"""Searches that the scripts here time: BIPEFT on random tokens, with triggers at chosen steps."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from shapes import RandomTokens, Shape, TokenForm

from peftsearch.methods.bipeft.method import Bipeft
from peftsearch.methods.bipeft.settings import BipeftSettings
from peftsearch.models.discover import find_sites
from peftsearch.models.head import count_outside
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import cost_at
from peftsearch.searches.gate_driver import start_gate_search
from peftsearch.searches.task_search import SearchData, SupernetTrainer, TaskHost
from peftsearch.space import SPACES, Budget, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.training.arguments import Phase
from peftsearch.training.settings import TrainingSettings


class Watched(SupernetTrainer):
    """A search that tells of each of its steps."""

    time_step: Callable[[Callable[[], Any], dict], Any] = staticmethod(lambda step, inputs: step())

    def training_step(self, model, inputs, num_items_in_batch=None):
        def step():
            return super(Watched, self).training_step(model, inputs, num_items_in_batch)

        return self.time_step(step, inputs)


class WatchedHost(TaskHost):
    """A host whose trainer tells of each of its steps."""

    def make_trainer(self, supernet):
        return Watched(
            supernet.model,
            task_format=self.data.task_format,
            train=self.data.weight_half,
            settings=self.settings,
            phase=self.phase,
        )


class Paced(Bipeft):
    """BIPEFT that triggers at given steps and goes on to the last planned one."""

    pace: frozenset[int] = frozenset()

    def observe(self, step, observation):
        # Every indicator counts as stable; elsewhere the warm-up is not over yet.
        self.settings = replace(self.settings, threshold=-1.0, warmup=0 if step in self.pace else step + 2)
        return super().observe(step, observation)

    def finished(self):
        return False


@contextmanager
def make_search(shape: Shape, *, space: str, budget: str, steps: int, pace: set[int], settings: TrainingSettings):
    """Yield a search of so many steps that triggers at the steps of `pace`, and its strategy."""
    torch.manual_seed(0)
    model = shape.make_model()
    sites = find_sites(model)
    options = SearchSpace.build(SPACES[space], sites=sites, cost=cost_at)
    parameters = Budget.parse(budget).parameters(count_outside(model, shape.head))
    attached = attach(model, options.largest, sites=sites, head=shape.head, task_type=shape.task_type)
    method = BipeftSettings(max_triggers=max(1, len(pace)), warmup=1, weight_warmup=2, window=1)
    strategy = Paced(options, budgets=[parameters], settings=method, planned_steps=steps)
    strategy.pace = frozenset(pace)
    data = RandomTokens(shape, settings.per_device_train_batch_size * steps)
    with TemporaryDirectory() as folder:
        host = WatchedHost(
            SearchData(TokenForm(), data, data, EncodedSplit((), data), "accuracy"),
            settings,
            Phase("search", Path(folder), 0, steps),
        )
        yield host.watch(start_gate_search(host, Supernet(attached, sites=sites, space=options), strategy)), strategy
