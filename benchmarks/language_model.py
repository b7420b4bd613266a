"""Time and peak memory of an epoch over instructions: our trainer, TRL's SFTTrainer, and transformers' own.

Each trains the same LoRA of peft on the same rows, in a fresh process on one thread. Ours and TRL's count completions
alone; transformers' Trainer has the logits of every token. Peaks are of resident memory in training, interpreter and
model included, as Linux has them.

    python benchmarks/language_model.py --model demo-decoder --rows 32 --batch 4

With --layers 2 the model has so many layers and random weights, for the peak of one vocabulary on a small machine.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from peftsearch.models.load import load_config, load_task_model, load_tokenizer
from peftsearch.task_head import CAUSAL_LM, TaskHead
from peftsearch.tasks.language_model import LanguageModelFormat
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.training.arguments import Phase
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import TaskTrainer

WORDS = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state")
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_rows(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Prompts and completions of random words and lengths; without prompts where every token counts."""
    rng = random.Random(0)

    def words(longest: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(longest // 3, longest)))

    prompt = 0 if arguments.all_tokens else arguments.prompt
    return [(words(prompt) + ":" if prompt else "", " " + words(arguments.completion)) for _ in range(arguments.rows)]


class Clock(TrainerCallback):
    """Seconds that the process computed in each optimizer step, whatever else the machine does."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self._started = 0.0

    def on_step_begin(self, args, state, control, **_) -> None:
        self._started = time.process_time()

    def on_step_end(self, args, state, control, **_) -> None:
        self.steps.append(time.process_time() - self._started)


def make_model(arguments: argparse.Namespace) -> PeftModel:
    """The model, or some layers with random weights of its configuration, with peft's LoRA at every linear map."""
    if arguments.layers:
        config = load_config(arguments.model)
        config.num_hidden_layers = arguments.layers
        torch.manual_seed(0)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    else:
        model = load_task_model(arguments.model, TaskHead(CAUSAL_LM)).model
    return get_peft_model(model, LoraConfig(r=8, target_modules=TARGETS, task_type="CAUSAL_LM"))


def make_format(arguments: argparse.Namespace) -> LanguageModelFormat:
    """Prompts of which completions count."""
    task = Task("words", Goal.INSTRUCTIONS, (), "loss", "loss", {}, "", 512)
    tokenizer = load_tokenizer(arguments.model)
    found = make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=False, max_length=512)
    assert isinstance(found, LanguageModelFormat)
    return found


def ours(arguments: argparse.Namespace, folder: str) -> Trainer:
    """Our trainer."""
    task_format = make_format(arguments)
    examples = [Example((("prompt:", prompt),), (completion,)) for prompt, completion in make_rows(arguments)]
    settings = TrainingSettings(
        learning_rate=1e-4, num_train_epochs=1, per_device_train_batch_size=arguments.batch, save_steps=0
    )
    train = task_format.encode_for_training(examples)
    model = make_model(arguments)
    return TaskTrainer(
        model, task_format=task_format, train=train, settings=settings, phase=Phase("epoch", Path(folder), 0)
    )


def trl(arguments: argparse.Namespace, folder: str) -> Trainer:
    """TRL's trainer, by its defaults."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [{"prompt": prompt, "completion": completion} for prompt, completion in make_rows(arguments)]
    config = SFTConfig(
        output_dir=folder,
        num_train_epochs=1,
        per_device_train_batch_size=arguments.batch,
        max_length=512,
        gradient_checkpointing=False,
        learning_rate=1e-4,
        report_to="none",
        save_strategy="no",
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )
    tokenizer = load_tokenizer(arguments.model)
    return SFTTrainer(make_model(arguments), config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)


def plain(arguments: argparse.Namespace, folder: str) -> Trainer:
    """transformers' trainer: the model's own loss over the same labels."""
    task_format = make_format(arguments)
    examples = [Example((("prompt:", prompt),), (completion,)) for prompt, completion in make_rows(arguments)]
    options = TrainingArguments(
        output_dir=folder,
        num_train_epochs=1,
        per_device_train_batch_size=arguments.batch,
        learning_rate=1e-4,
        report_to="none",
        save_strategy="no",
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )
    train = task_format.encode_for_training(examples)
    return Trainer(make_model(arguments), options, data_collator=task_format.collate, train_dataset=train)


TRAINERS: dict[str, Callable[[argparse.Namespace, str], Trainer]] = {"ours": ours, "trl": trl, "transformers": plain}


def forget_peak() -> None:
    """Let the largest resident memory be the present one: models are larger while they are unpacked."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """The largest resident memory since then, in GiB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 2**20


def measure(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Train for an epoch, and give its seconds and memory."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        trainer, clock = TRAINERS[name](arguments, folder), Clock()
        trainer.add_callback(clock)
        forget_peak()
        trainer.train()
    return {"seconds": sum(clock.steps), "steps": len(clock.steps), "gigabytes": peak()}


def main() -> None:
    """Measure each trainer in a fresh process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="demo-decoder")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=120, help="longest prompt, in words")
    parser.add_argument("--completion", type=int, default=60, help="longest completion, in words")
    parser.add_argument("--all_tokens", action="store_true", help="rows without prompts: every token counts")
    parser.add_argument(
        "--layers", type=int, default=0, help="of a model with random weights; 0 takes the trained one"
    )
    parser.add_argument("--trainers", default=",".join(TRAINERS))
    parser.add_argument("--only", choices=tuple(TRAINERS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measure(given.only, given)))
        return
    found = {}
    for name in given.trainers.split(","):
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        found[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
        print(name, ", ".join(f"{key} {value:.4g}" for key, value in found[name].items()), flush=True)
    if {"ours", "trl"} <= set(found):
        shares = {key: found["ours"][key] / found["trl"][key] for key in ("seconds", "gigabytes")}
        print(f"ours over TRL's: {shares['seconds']:.3f} in time, {shares['gigabytes']:.3f} in memory")


if __name__ == "__main__":
    main()
