"""Time of one BIPEFT search step over two plain forward+backward passes of the frozen backbone with the same batch.

The plain passes train the norms' weights, so that their backward reaches the bottom of the model. Plain passes and
search steps alternate in one process, and medians are compared, since machines differ and drift.

    python benchmarks/search_step.py --batch 32 --tokens 64 --repeats 15
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import Dataset

from peftsearch.methods.bipeft import Bipeft
from peftsearch.methods.gate_driver import SearchData, make_gate_search
from peftsearch.methods.gate_steps import GateSteps
from peftsearch.methods.settings.bipeft import BipeftSettings
from peftsearch.models.discover import find_sites
from peftsearch.models.load import load_model
from peftsearch.modules.attach import attach
from peftsearch.modules.kinds import cost_at
from peftsearch.space import PRESETS, Budget, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import EncodedSplit, Phase


class RandomTokens(Dataset):
    """Examples of one length with random tokens and labels."""

    def __init__(self, count: int, tokens: int, vocabulary: int):
        generator = torch.Generator().manual_seed(0)
        self.ids = torch.randint(1000, vocabulary, (count, tokens), generator=generator)
        self.labels = torch.randint(0, 2, (count,), generator=generator)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict:
        ids = self.ids[i]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": self.labels[i], "length": len(ids)}


class TokenForm:
    """The part of a form that training needs."""

    @staticmethod
    def collate(features: list[dict]) -> dict[str, torch.Tensor]:
        return {name: torch.stack([f[name] for f in features]) for name in features[0] if name != "length"}


def plain_passes(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> float:
    """Seconds of two forward+backward passes."""
    started = time.perf_counter()
    for _ in range(2):
        model(**batch).loss.backward()
    model.zero_grad()
    return time.perf_counter() - started


class Clock(GateSteps):
    """A search that runs plain passes after each of its own steps and keeps both times."""

    plain: torch.nn.Module
    times: list[tuple[float, float, int]]

    def training_step(self, model, inputs, num_items_in_batch=None):
        started = time.perf_counter()
        loss = super().training_step(model, inputs, num_items_in_batch)
        taken = time.perf_counter() - started
        live = len(self.supernet.live)
        self.times.append((taken, plain_passes(self.plain, self._prepare_inputs(inputs)), live))
        return loss


class Endless(Bipeft):
    """BIPEFT that goes on after its last trigger, with what is left of the supernet."""

    steps = Clock

    def observe(self, step, observation):
        return super().observe(step, observation) if self.num_triggers < self.settings.max_triggers else []

    def finished(self):
        return False


def make_plain(name: str) -> torch.nn.Module:
    """The backbone with nothing but its norms' weights trainable."""
    model = load_model(name, num_labels=2).model
    norms = {site.path for site in find_sites(model) if site.role.is_norm}
    for path, parameter in model.named_parameters():
        parameter.requires_grad = path.rpartition(".")[0] in norms
    return model


def run(args: argparse.Namespace) -> list[tuple[float, float, int]]:
    """Times of every step: search step, plain passes, live modules."""
    torch.manual_seed(0)
    loaded = load_model(args.model, num_labels=2)
    sites = find_sites(loaded.model)
    space = SearchSpace.build(PRESETS[args.space], sites=sites, cost=cost_at)
    model = attach(loaded.model, space.largest, sites=sites, head=loaded.head, task_type="SEQ_CLS")
    budget = Budget.parse(args.budget).parameters(loaded.backbone_parameters)
    steps = 6 + args.repeats + args.triggers + args.repeats
    # A threshold of -1 triggers at every step after the warm-up; the search would end with the last trigger.
    settings = BipeftSettings(max_triggers=args.triggers, warmup=6 + args.repeats, threshold=-1.0)
    strategy = Endless(space, budgets=[budget], settings=settings, planned_steps=steps)
    data = RandomTokens(args.batch * steps, args.tokens, loaded.model.config.vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        search = make_gate_search(
            Supernet(model, sites=sites, space=space),
            strategy=strategy,
            data=SearchData(TokenForm(), data, data, EncodedSplit((), data), "accuracy"),
            settings=TrainingSettings(per_device_train_batch_size=args.batch),
            phase=Phase("search", Path(folder), 0, steps),
        )
        search.plain, search.times = make_plain(args.model).train(), []
        search.train()
    return search.times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--space", default="s2")
    parser.add_argument("--budget", default="0.1%")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15, help="steps measured at the start and at the end")
    parser.add_argument("--triggers", type=int, default=10, help="triggers between the start and the end")
    args = parser.parse_args()
    times = run(args)[6:]
    phases = {
        "start": times[: args.repeats],
        "pruning": times[args.repeats : args.repeats + args.triggers],
        "end": times[-args.repeats :],
    }
    print(f"{args.model}, {args.batch} x {args.tokens} tokens, {torch.get_num_threads()} threads")
    print("phase    modules  search step  2 plain passes  ratio of medians  slowest / median")
    for name, rows in phases.items():
        step, plain = (statistics.median(row[i] for row in rows) for i in (0, 1))
        slowest = max(row[0] for row in rows) / step
        print(f"{name:8} {rows[-1][2]:7} {step:11.3f}s {plain:14.3f}s {step / plain:17.3f} {slowest:17.2f}")


if __name__ == "__main__":
    main()
