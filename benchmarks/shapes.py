"""Models of the sizes that are measured, with random weights, and random batches for them."""

import argparse
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BertConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    T5Config,
    set_seed,
)

from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.settings import TrainingSettings

# Tokens of a text-to-text answer, about as many as a label's words.
TARGET_TOKENS = 4
LOADERS = {
    "SEQ_CLS": AutoModelForSequenceClassification,
    "SEQ_2_SEQ_LM": AutoModelForSeq2SeqLM,
    "CAUSAL_LM": AutoModelForCausalLM,
}


@dataclass(frozen=True)
class Shape:
    """A model's sizes and the batch that it is measured with.

    Args:
        config: makes its configuration.
        batch: examples in a batch.
        tokens: of each example.
        head: modules trained in full; empty for text-to-text and language models.
        device: on which the weights are drawn.
        dtype: of the weights.
    """

    config: Callable[[], PretrainedConfig]
    batch: int
    tokens: int
    head: tuple[str, ...]
    device: str = "cpu"
    dtype: torch.dtype = torch.float32

    @property
    def task_type(self) -> str:
        """peft's name of the task."""
        if self.head:
            return "SEQ_CLS"
        return "SEQ_2_SEQ_LM" if self.config().is_encoder_decoder else "CAUSAL_LM"

    def make_model(self, seed: int = 0) -> PreTrainedModel:
        """The model with random weights."""
        set_seed(seed)
        with torch.device(self.device):
            return LOADERS[self.task_type].from_config(self.config(), dtype=self.dtype)


def bert(layers: int = 6, width: int = 384) -> BertConfig:
    """MiniLM's sizes, or others of its proportions."""
    return BertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 32),
        intermediate_size=4 * width,
        num_labels=2,
    )


def t5(layers: int, width: int) -> T5Config:
    """A T5 of version 1.0 with as many layers in each stack."""
    return T5Config(
        vocab_size=32128,
        d_model=width,
        d_ff=4 * width,
        d_kv=64,
        num_heads=width // 64,
        num_layers=layers,
        decoder_start_token_id=0,
    )


def llama(layers: int, width: int) -> LlamaConfig:
    """A Llama with as many key heads as query heads."""
    return LlamaConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=8 * width // 3,
        pad_token_id=0,
        num_labels=2,
    )


def llama_1b() -> LlamaConfig:
    """Llama 3.2's 1B."""
    return LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=8192,
        tie_word_embeddings=True,
        pad_token_id=0,
    )


SHAPES = {
    "minilm": Shape(bert, 32, 64, ("classifier",)),
    "t5": Shape(lambda: t5(6, 512), 16, 64, ()),
    "llama": Shape(lambda: llama(12, 768), 8, 64, ("score",)),
    "t5-large": Shape(lambda: t5(24, 1024), 32, 128, ()),
    "llama-1b": Shape(llama_1b, 8, 256, ()),
    "tiny-t5": Shape(lambda: t5(1, 64), 2, 8, ()),
    "tiny-llama": Shape(lambda: llama(1, 64), 2, 8, ()),
}


class RandomTokens(Dataset):
    """Examples of one length with random tokens and labels, as `shape` takes them."""

    def __init__(self, shape: Shape, count: int):
        generator = torch.Generator().manual_seed(0)
        self.ids = torch.randint(1000, 30000, (count, shape.tokens), generator=generator)
        self.lengths = [shape.tokens] * count
        self.labels = torch.randint(0, 2, (count,), generator=generator)
        if shape.task_type == "CAUSAL_LM":
            self.labels = self.ids
        if shape.task_type == "SEQ_2_SEQ_LM":
            self.labels = torch.randint(1000, 30000, (count, TARGET_TOKENS), generator=generator)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict:
        ids = self.ids[i]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": self.labels[i], "length": len(ids)}


class TokenForm:
    """The part of a task format that training needs."""

    passes, forward, mean_loss = TaskFormat.passes, TaskFormat.forward, TaskFormat.mean_loss

    @staticmethod
    def collate(features: list[dict]) -> dict[str, torch.Tensor]:
        return {name: torch.stack([f[name] for f in features]) for name in features[0] if name != "length"}


# -- device and precision


def add_arguments(parser: argparse.ArgumentParser, shapes: str) -> None:
    """The options that every script here takes."""
    parser.add_argument("--shapes", default=shapes, help=f"comma-separated, of {', '.join(SHAPES)}")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32", help="bf16: autocast, as in training")


def choose_device(arguments: argparse.Namespace) -> torch.device:
    """The device of the options, which the Trainer is told too."""
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("There is no GPU here: --device cpu or auto.")
    device = torch.device("cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
        if arguments.dtype == "bf16":
            raise SystemExit("transformers' Trainer has bf16 on GPUs only: --dtype fp32.")
    return device


def training_settings(arguments: argparse.Namespace, batch: int) -> TrainingSettings:
    """How searches and trainings run here; nothing is saved."""
    bf16 = "true" if arguments.dtype == "bf16" else "false"
    return TrainingSettings(learning_rate=1e-3, per_device_train_batch_size=batch, bf16=bf16, save_steps=0)


def autocast(arguments: argparse.Namespace, device: torch.device) -> AbstractContextManager:
    """The precision of plain passes."""
    return torch.autocast(device.type, torch.bfloat16) if arguments.dtype == "bf16" else nullcontext()


def now(device: torch.device) -> float:
    """Seconds on a clock that waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def name_of(device: torch.device) -> str:
    """What the figures were measured on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"
