"""The search loop on a tiny model: whose gradients, whose steps, what is forgotten."""

import json

import pytest
import torch
from torch.utils.data import Dataset
from two_classes import TwoClasses

from peftsearch.errors import DataError, TrainingError
from peftsearch.methods.bipeft.method import Bipeft
from peftsearch.methods.bipeft.settings import BipeftSettings
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import cost_at
from peftsearch.searches.gate_driver import start_gate_search
from peftsearch.searches.gate_search import labels_of_all
from peftsearch.searches.task_search import SearchData, SupernetTrainer, TaskHost
from peftsearch.space import SPACES, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.testing.tiny_models import TINY
from peftsearch.training.arguments import Phase
from peftsearch.training.settings import TrainingSettings


class Tokens(Dataset):
    def __init__(self, count: int):
        generator = torch.Generator().manual_seed(0)
        self.ids = torch.randint(6, 200, (count, 6), generator=generator)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i], "labels": self.ids[i, 0] % 2, "length": 6}


def build(
    tmp_path, *, steps: int = 8, method: BipeftSettings | None = None, learning_rate: float = 1e-2
) -> SupernetTrainer:
    torch.manual_seed(0)
    model = TINY["bert"]()
    sites = find_sites(model)
    space = SearchSpace.build(SPACES["s2"], sites=sites, cost=cost_at)
    adapted = attach(model, space.largest, sites=sites, head=("classifier",), task_type="SEQ_CLS")
    settings = method or BipeftSettings(max_triggers=4, warmup=2, window=1, threshold=-1.0, weight_warmup=1)
    data = SearchData(TwoClasses(), Tokens(8 * steps), Tokens(8 * steps), EncodedSplit((), Tokens(8)), "accuracy")
    training = TrainingSettings(per_device_train_batch_size=8, learning_rate=learning_rate)
    host = TaskHost(data, training, Phase("search", tmp_path, 0, steps))
    strategy = Bipeft(space, budgets=[800], settings=settings, planned_steps=steps)
    return host.watch(start_gate_search(host, Supernet(adapted, sites=sites, space=space), strategy))


def test_the_architecture_step_leaves_the_weights_and_their_gradients_alone(tmp_path):
    trainer = build(tmp_path)
    parameters = [p for p in trainer.model.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in parameters]
    alpha = trainer.search.strategy.architecture.alpha.detach().clone()
    trainer.search.architecture_step(trainer.model, 2, {})
    assert all(p.grad is None for p in parameters)
    assert all(torch.equal(p, b) for p, b in zip(parameters, before))
    assert not torch.equal(trainer.search.strategy.architecture.alpha, alpha)


def test_weights_make_exactly_one_optimizer_step_each_search_step(tmp_path):
    trainer = build(tmp_path, method=BipeftSettings(warmup=100))
    trainer.train()
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    steps = {int(state["step"]) for state in optimizer.state.values()}
    assert max(steps) == 8


def test_removed_modules_leave_model_and_optimizer(tmp_path):
    trainer = build(tmp_path)
    trainer.train()
    live = {
        id(p) for placement in trainer.search.supernet.live for p in trainer.search.supernet.parameters_of(placement)
    }
    head = {id(p) for n, p in trainer.model.named_parameters() if "modules_to_save" in n}
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    assert len(trainer.search.supernet.live) < len(trainer.search.strategy.space.ranks)
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == live | head
    assert {id(p) for p in optimizer.state} <= live | head


def test_the_search_stops_early_and_logs_every_step(tmp_path):
    trainer = build(tmp_path, steps=50)
    trainer.train()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "triggers" in row]
    assert len(rows) == trainer.state.global_step < 50
    assert rows[-1]["triggers"] == 4
    sizes = [row["live_modules"] for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert {row["stage"] for row in rows} == {"binary", "rank"}


def test_importances_of_the_live_modules_are_logged_up_to_the_last_step(tmp_path):
    trainer = build(tmp_path, steps=50)
    trainer.train()
    rows = [json.loads(line) for line in (tmp_path / "importance.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == trainer.state.global_step - 1
    logged = {(site, kind): v for site, kinds in rows[-1]["importance"].items() for kind, v in kinds.items()}
    scores = dict(zip(trainer.search.strategy.table.placements, trainer.search.strategy.scores.tolist()))
    live = trainer.search.supernet.live
    assert logged == {(p.site, p.kind): pytest.approx(scores[p], rel=1e-3) for p in live}


def test_a_search_whose_loss_diverges_stops_with_the_step(tmp_path):
    trainer = build(tmp_path, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"step \d"):
        trainer.train()


def test_a_batch_without_a_label_is_refused_with_words():
    assert labels_of_all({"labels": torch.tensor([[-100, 3], [2, -100]])}) == 2
    with pytest.raises(DataError, match="no label that counts"):
        labels_of_all({"labels": torch.full((2, 3), -100)})
