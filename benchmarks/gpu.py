"""Training steps, searches and their memory on one card, beside peft's LoRA, and which targets they meet.

Models have random weights in bf16, drawn on the card, and train under bf16 autocast with modules in float32;
`--weights fp32` has them as `peftsearch search` loads them. peft's rows are steps of transformers' Trainer, the others
of peftsearch's own loops; optimizer, clipping and schedule are in the training steps. "q and v" are query and value
of every attention, cross-attention included.

Unattended: what fails or finds no time is named, and the rest goes on. The table is written anew after every row.

    python benchmarks/gpu.py --output gpu.md
    python benchmarks/gpu.py --device cpu --shapes tiny-t5,tiny-llama --steps 2
"""

import argparse
import gc
import importlib.util
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import peft
import torch
import transformers
from memory import make_pursuit
from search_step import WARM_UP as SEARCH_WARM_UP
from search_step import make_plain, plain_passes
from searches import make_search
from shapes import (
    SHAPES,
    RandomTokens,
    Shape,
    TokenForm,
    add_arguments,
    choose_device,
    name_of,
    now,
    training_settings,
)
from train_step import peft_lora
from transformers import PrinterCallback, Trainer, TrainerCallback

from peftsearch.methods.pursuit.settings import PursuitSettings
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.searches.growth import Gradients
from peftsearch.space import Choice, Configuration, Role
from peftsearch.training.arguments import Phase, training_arguments
from peftsearch.training.trainer import TaskTrainer

WARM_UP = 3
RANK = 8
QUERY_AND_VALUE = frozenset({Role.QUERY, Role.VALUE, Role.CROSS_QUERY, Role.CROSS_VALUE})
# Batches of a pursuit's stage: as many as its 256 examples are at a batch of 32.
PURSUIT_BATCHES = 8
# GiB that the libraries' own workspaces may hold on to.
WORKSPACES = 0.1


class NotMeasured(Exception):  # noqa: N818  nothing is wrong
    """There is nothing to measure, for the reason that the message says."""


@dataclass(frozen=True)
class Measured:
    """One measurement.

    Args:
        seconds: of a step.
        tokens: input tokens that a step reads.
        peak: GiB of the card's memory, at most; None on a CPU.
        note: what else is to say.
    """

    seconds: float
    tokens: int
    peak: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Target:
    """A ratio of two measurements that is to stay within a limit.

    Args:
        name: of the ratio.
        what: measurement above the line.
        over: that below it.
        quantity: "seconds" or "peak".
        limit: the largest ratio that meets the target.
    """

    name: str
    what: str
    over: str
    quantity: str
    limit: float


BASE, OURS = f"peft LoRA r={RANK}, q and v", f"peftsearch LoRA r={RANK}, q and v"
PLAIN, SEARCH = "two plain passes", "BIPEFT search step, space s2, at the start"
ALL_MAPS, SKETCH = f"peft LoRA r={RANK}, all maps", f"peft LoRA r={PursuitSettings().sketch}, all maps"
PURSUIT, SFT = "pursuit, both gradient passes, a batch", "TRL SFTTrainer, peft LoRA, q and v"

TARGETS = (
    Target("training step over peft LoRA's, same modules", OURS, BASE, "seconds", 1.05),
    Target("search step over two plain passes", SEARCH, PLAIN, "seconds", 1.15),
    Target(f"memory of the search over {ALL_MAPS}", SEARCH, ALL_MAPS, "peak", 1.2),
    Target(f"memory of pursuit over {SKETCH}", PURSUIT, SKETCH, "peak", 1.0),
)


# -- what is measured


@dataclass(frozen=True)
class Case:
    """A model, and how it is run.

    Args:
        shape: the model's sizes and batch.
        arguments: of the command line.
        device: the card, or the CPU.
    """

    shape: Shape
    arguments: argparse.Namespace
    device: torch.device

    @property
    def tokens(self) -> int:
        """Input tokens of a batch."""
        return self.shape.batch * self.shape.tokens

    @property
    def settings(self):
        """Of every training and search."""
        return training_settings(self.arguments, self.shape.batch)

    def of_steps(self, seconds: list[float], warm_up: int, note: str = "") -> Measured:
        """The median of the steps after the first ones, and the peak of all of them."""
        peak = torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else None
        return Measured(statistics.median(seconds[warm_up:]), self.tokens, peak, note)


class StepTimes(TrainerCallback):
    """Takes the time of each optimizer step, on a clock that waits for the device."""

    def __init__(self, device: torch.device):
        self.device, self.seconds, self._started = device, [], 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._started = now(self.device)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(now(self.device) - self._started)


def train(case: Case, make_trainer: Callable[[RandomTokens, Phase], Trainer]) -> Measured:
    """Whole steps of a training."""
    steps, times = WARM_UP + case.arguments.steps, StepTimes(case.device)
    with TemporaryDirectory() as folder:
        data = RandomTokens(case.shape, case.shape.batch * steps)
        trainer = make_trainer(data, Phase("training", Path(folder), 0, steps))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(times)
        trainer.train()
    return case.of_steps(times.seconds, WARM_UP)


def train_peft(case: Case, *, rank: int, roles: frozenset[Role] | None = None) -> Measured:
    """peft's LoRA by transformers' Trainer."""
    model = peft_lora(case.shape, rank, roles) if roles else peft_lora(case.shape, rank)
    return train(
        case,
        lambda data, phase: Trainer(
            model, training_arguments(case.settings, phase), data_collator=TokenForm.collate, train_dataset=data
        ),
    )


def train_ours(case: Case) -> Measured:
    """Uniform LoRA by peftsearch."""
    shape, model = case.shape, case.shape.make_model()
    sites = find_sites(model)
    chosen = Configuration.of(Choice(site.name, "lora", RANK) for site in sites if site.role in QUERY_AND_VALUE)
    attached = attach(model, chosen, sites=sites, head=shape.head, task_type=shape.task_type)
    return train(
        case,
        lambda data, phase: TaskTrainer(
            attached, task_format=TokenForm(), train=data, settings=case.settings, phase=phase
        ),
    )


def pass_plainly(case: Case) -> Measured:
    """Two passes of the backbone, without an optimizer's step."""
    plain, seconds = make_plain(case.shape, case.device), []
    batch = TokenForm.collate(list(RandomTokens(case.shape, case.shape.batch)))
    batch = {name: tensor.to(case.device) for name, tensor in batch.items()}
    for _ in range(WARM_UP + case.arguments.steps):
        started = now(case.device)
        plain_passes(plain, batch, case.arguments, case.device)
        seconds.append(now(case.device) - started)
    return case.of_steps(seconds, WARM_UP)


def search(case: Case) -> Measured:
    """Steps of BIPEFT with every module live, without the optimizer's step."""
    seconds, steps = [], SEARCH_WARM_UP + case.arguments.steps

    with make_search(case.shape, space="s2", budget="0.1%", steps=steps, pace=set(), settings=case.settings) as (
        trainer,
        _,
    ):

        def time_step(step, inputs):
            started = now(case.device)
            loss = step()
            seconds.append(now(case.device) - started)
            return loss

        trainer.time_step = time_step
        trainer.train()
        live = len(trainer.search.supernet.live)
    return case.of_steps(seconds, SEARCH_WARM_UP, f"{live} modules")


def pursue(case: Case) -> Measured:
    """A stage of pursuit: the mean time of a batch in both passes, warmed up by a first one over the same batches."""
    stage, seconds = make_pursuit(case.shape, case.arguments, 2 * PURSUIT_BATCHES), []

    def timed(gradients: Gradients) -> Gradients:
        def measured(tensors):
            if not seconds:
                gradients(tensors)
            started = now(case.device)
            found = gradients(tensors)
            seconds.append(now(case.device) - started)
            return found

        return measured

    first, second = stage.gradients
    started = now(case.device)
    stage.run((timed(first), timed(second)))
    rest = now(case.device) - started - sum(seconds) - seconds[0]
    note = f"{len(stage.supernet.live)} modules; the rest of the stage took {max(0.0, rest):.1f} s"
    return case.of_steps([sum(seconds) / PURSUIT_BATCHES], 0, note)


def train_with_trl(case: Case) -> Measured:
    """peft's LoRA by TRL."""
    if importlib.util.find_spec("trl") is None:
        raise NotMeasured("trl not installed")
    if case.shape.task_type != "CAUSAL_LM":
        raise NotMeasured("SFTTrainer trains language models only")
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from peftsearch.testing.tiny_models import tiny_tokenizer

    def make_trainer(data: RandomTokens, phase: Phase) -> Trainer:
        own = training_arguments(case.settings, phase)
        names = ("output_dir", "max_steps", "per_device_train_batch_size", "learning_rate", "max_grad_norm", "bf16")
        options = {name: getattr(own, name) for name in names}
        args = SFTConfig(
            **options,
            max_length=case.shape.tokens,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=case.device.type == "cpu",
        )
        rows = Dataset.from_dict({"input_ids": data.ids.tolist()})
        model: Any = peft_lora(case.shape, RANK, QUERY_AND_VALUE)
        return SFTTrainer(model, args=args, train_dataset=rows, processing_class=tiny_tokenizer())

    return train(case, make_trainer)


# In this order: what targets need first.
MEASUREMENTS: dict[str, Callable[[Case], Measured]] = {
    BASE: partial(train_peft, rank=RANK, roles=QUERY_AND_VALUE),
    OURS: train_ours,
    PLAIN: pass_plainly,
    SEARCH: search,
    ALL_MAPS: partial(train_peft, rank=RANK),
    SKETCH: partial(train_peft, rank=PursuitSettings().sketch),
    PURSUIT: pursue,
    SFT: train_with_trl,
}


# -- the table


@dataclass
class Table:
    """What was measured, and why the rest was not.

    Args:
        title: what it was measured on.
        sizes: of each model's batch, by the name of its shape.
        results: by shape and measurement; a string is the reason why there is none.
    """

    title: str
    sizes: dict[str, str]
    results: dict[tuple[str, str], Measured | str] = field(default_factory=dict)

    def text(self) -> str:
        """The whole of it in markdown."""
        head = f"| model | | a step, ms | input tokens/s | peak, GiB | time / {BASE} | peak / {BASE} | |"
        rows = [head, "|---" * 8 + "|", *(self.row(shape, what) for shape, what in self.results)]
        targets = ["| model | target | at most | reached | |", "|---" * 5 + "|"]
        targets += [self.verdict(shape, target) for shape in self.sizes for target in TARGETS]
        return "\n".join([self.title, "", *rows, "", *targets, ""])

    def row(self, shape: str, what: str) -> str:
        """A measurement."""
        found, place = self.results[shape, what], f"{shape}, {self.sizes[shape]} | {what}"
        if isinstance(found, str):
            return f"| {place} | | | | | | {found} |"
        ratios = [self.ratio(shape, Target("", what, BASE, quantity, 1.0)) for quantity in ("seconds", "peak")]
        shown = ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        peak = "" if found.peak is None else f"{found.peak:.2f}"
        speed = f"{1000 * found.seconds:.1f} | {found.tokens / found.seconds:,.0f}"
        return f"| {place} | {speed} | {peak} | {' | '.join(shown)} | {found.note} |"

    def verdict(self, shape: str, target: Target) -> str:
        """Whether a target is met."""
        ratio = self.ratio(shape, target)
        place = f"| {shape} | {target.name} | {target.limit:.2f}"
        if ratio is None:
            return f"{place} | | not measured |"
        return f"{place} | {ratio:.3f} | {'met' if ratio <= target.limit else 'missed'} |"

    def ratio(self, shape: str, target: Target) -> float | None:
        """What was reached; None if a part of it was not measured."""
        found = [self.results.get((shape, what)) for what in (target.what, target.over)]
        values = [getattr(one, target.quantity) for one in found if isinstance(one, Measured)]
        if len(values) < 2 or None in values:
            return None
        return values[0] / values[1]


@contextmanager
def own_memory(device: torch.device) -> Iterator[float]:
    """Free what is left, and count the card's memory anew; yields the GiB that could not be freed."""
    gc.collect()
    if device.type != "cuda":
        yield 0.0
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    yield torch.cuda.memory_allocated() / 2**30


def measure(case: Case, what: str) -> Measured | str:
    """A measurement, or the reason why there is none."""
    with own_memory(case.device) as held:
        try:
            found = MEASUREMENTS[what](case)
        except NotMeasured as reason:
            return f"not measured: {reason}"
        except Exception as error:  # unattended: one that fails must not take the others with it
            traceback.print_exc()
            return f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if held > WORKSPACES:
        return replace(found, note=f"{found.note} ({held:.2f} GiB of the peak are of earlier rows)".strip())
    return found


def measure_all(cases: dict[str, Case], table: Table, *, deadline: float, show: Callable[[str], None]) -> None:
    """Fill the table.

    Args:
        cases: by the name of their shape.
        table: to fill.
        deadline: on the clock of `time.monotonic`; what would not end before it is not begun.
        show: called with each new row.
    """
    longest = 0.0
    for shape, case in cases.items():
        for what in MEASUREMENTS:
            started = time.monotonic()
            if started + longest > deadline:
                table.results[shape, what] = "not measured: no time left"
            else:
                table.results[shape, what] = measure(case, what)
                longest = max(longest, time.monotonic() - started)
            show(table.row(shape, what))


def make_cases(arguments: argparse.Namespace, device: torch.device) -> dict[str, Case]:
    """The models, with the sizes of the command line."""
    unknown = [name for name in arguments.shapes.split(",") if name not in SHAPES]
    if unknown:
        raise SystemExit(f"Unknown shape '{unknown[0]}' in --shapes. Known: {', '.join(SHAPES)}.")
    dtype = torch.bfloat16 if (arguments.weights or arguments.dtype) == "bf16" else torch.float32
    cases = {}
    for name in arguments.shapes.split(","):
        shape = SHAPES[name]
        batch, tokens = arguments.batch_size or shape.batch, arguments.length or shape.tokens
        shape = replace(shape, batch=batch, tokens=tokens, device=device.type, dtype=dtype)
        cases[name] = Case(shape, arguments, device)
    return cases


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "t5-large,llama-1b")
    parser.set_defaults(device="cuda", dtype=None)
    parser.add_argument("--weights", choices=["bf16", "fp32"], help="of the backbone; --dtype without it")
    parser.add_argument("--batch_size", type=int, default=0, help="examples; 0 for the shape's own")
    parser.add_argument("--length", type=int, default=0, help="tokens of an example; 0 for the shape's own")
    parser.add_argument("--steps", type=int, default=10, help="measured steps of each row")
    parser.add_argument("--minutes", type=float, default=10.0, help="no row is begun that would not end in this time")
    parser.add_argument("--output", type=Path, help="markdown file for the table, written anew after each row")
    return parser.parse_args()


def main() -> None:
    """Measure each shape."""
    deadline, arguments = time.monotonic(), read_arguments()
    deadline += 60 * arguments.minutes
    device = choose_device(arguments)
    arguments.dtype = arguments.dtype or ("bf16" if device.type == "cuda" else "fp32")
    cases = make_cases(arguments, device)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"
    sizes = {name: f"{case.shape.batch} x {case.shape.tokens}" for name, case in cases.items()}
    precision = f"{arguments.dtype}, weights in {arguments.weights or arguments.dtype}"
    table = Table(f"{name_of(device)}, {precision}; {versions}; medians of {arguments.steps} steps", sizes)

    def show(row: str) -> None:
        print(row, file=sys.stderr, flush=True)
        if arguments.output:
            arguments.output.write_text(table.text())

    measure_all(cases, table, deadline=deadline, show=show)
    print(table.text())
    if any(isinstance(found, str) and found.startswith("failed") for found in table.results.values()):
        raise SystemExit("Some rows failed; the reasons stand above.")


if __name__ == "__main__":
    main()
