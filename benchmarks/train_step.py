"""Time of a retraining step over a step of peft's LoRA r=8 on all linear maps, and over one of peft's AdaLoRA.

The configuration is what BIPEFT keeps of random tokens, at each budget. All steps are whole optimizer steps by the
same trainer, taken in turn in one process, and medians are compared.

    python benchmarks/train_step.py --repeats 15
"""

import argparse
import statistics
from collections.abc import Set
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model
from searches import make_search
from shapes import (
    SHAPES,
    RandomTokens,
    Shape,
    TokenForm,
    add_arguments,
    autocast,
    choose_device,
    name_of,
    now,
    training_settings,
)

from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.space import Role
from peftsearch.space.site import LINEAR_ROLES
from peftsearch.training.arguments import Phase
from peftsearch.training.trainer import TaskTrainer

WARM_UP = 3
LENGTH = 100


class AdaLoraStep(TaskTrainer):
    """A step that reallocates ranks, as peft's AdaLoRA asks for."""

    def after_step(self) -> None:
        self.model.base_model.update_and_allocate(self.state.global_step)


def found_models(shape: Shape, arguments: argparse.Namespace) -> dict[str, torch.nn.Module]:
    """The model with what a short search keeps, for each budget."""
    models = {}
    for budget in arguments.budgets.split(","):
        settings = training_settings(arguments, min(4, shape.batch))
        with make_search(shape, space="s2", budget=budget, steps=12, pace=set(range(6, 12)), settings=settings) as (
            search,
            strategy,
        ):
            search.train()
            configuration = next(iter(strategy.results().values()))
        model = shape.make_model()
        sites = find_sites(model)
        name = f"found at {budget}, {len(configuration)} modules"
        models[name] = attach(model, configuration, sites=sites, head=shape.head, task_type=shape.task_type)
    return models


def peft_model(
    shape: Shape, config_class: type[LoraConfig], *, roles: Set[Role] = LINEAR_ROLES, **settings
) -> torch.nn.Module:
    """One of peft's own methods, on all linear maps or on those of some roles."""
    model = shape.make_model()
    targets = [site.path for site in find_sites(model) if site.role in roles]
    heads = list(shape.head) or None
    config = config_class(target_modules=targets, modules_to_save=heads, task_type=shape.task_type, **settings)
    return get_peft_model(model, config)


def peft_lora(shape: Shape, rank: int = 8, roles: Set[Role] = LINEAR_ROLES) -> torch.nn.Module:
    """peft's LoRA."""
    return peft_model(shape, LoraConfig, roles=roles, r=rank)


def peft_adalora(shape: Shape) -> torch.nn.Module:
    """peft's AdaLoRA with a mean rank of 8."""
    return peft_model(shape, AdaLoraConfig, init_r=12, target_r=8, tinit=1, tfinal=10, total_step=LENGTH)


def make_trainer(name: str, model: torch.nn.Module, shape: Shape, arguments, folder: Path) -> TaskTrainer:
    """A trainer with an optimizer, ready for its first step."""
    kind = AdaLoraStep if "AdaLoRA" in name else TaskTrainer
    trainer = kind(
        model,
        task_format=TokenForm(),
        train=RandomTokens(shape, shape.batch),
        settings=training_settings(arguments, shape.batch),
        phase=Phase(name, folder, 0, LENGTH),
    )
    # Without `train` nothing is prepared by accelerate, whose precision this is.
    trainer.compute_loss_context_manager = lambda: autocast(arguments, trainer.args.device)
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def step(trainer: TaskTrainer, batch: dict) -> None:
    """One optimizer step."""
    trainer.training_step(trainer.model, batch)
    torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), trainer.args.max_grad_norm)
    trainer.optimizer.step()
    if isinstance(trainer, AdaLoraStep):
        trainer.state.global_step += 1
        trainer.after_step()
    trainer.model.zero_grad()


def measure(shape: Shape, arguments: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Median seconds of a step of each model."""
    batch = TokenForm.collate(list(RandomTokens(shape, shape.batch)))
    times: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        models = found_models(shape, arguments)
        models |= {"peft LoRA r=8": peft_lora(shape), "peft AdaLoRA": peft_adalora(shape)}
        trainers = {name: make_trainer(name, m, shape, arguments, Path(folder)) for name, m in models.items()}
        for number in range(WARM_UP + arguments.repeats):
            for name, trainer in trainers.items():
                started = now(device)
                step(trainer, batch)
                if number >= WARM_UP:
                    times.setdefault(name, []).append(now(device) - started)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Measure each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "minilm,t5,llama")
    parser.add_argument("--budgets", default="0.1%,0.5%")
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    device = choose_device(arguments)
    print(f"{name_of(device)}, {arguments.dtype}")
    print("| model | trained | step, s | over peft LoRA r=8 | over peft AdaLoRA |\n|---|---|---|---|---|")
    for name in arguments.shapes.split(","):
        times = measure(SHAPES[name], arguments, device)
        lora, adalora = times["peft LoRA r=8"], times["peft AdaLoRA"]
        for trained, seconds in times.items():
            row = f"| {name} | {trained} | {seconds:.3f} | {seconds / lora:.2f} | {seconds / adalora:.2f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
