"""Adapters on tiny language models, with the record of a training, to be exported for tools that train anew."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from export_cases import disturb, spread
from transformers import AutoModelForCausalLM

from peftsearch.exports.recorded_training import RecordedData, RecordedTraining, Rows
from peftsearch.exports.source import Source
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.space import Choice, Configuration
from peftsearch.training.settings import TrainingSettings

ROWS = {
    Rows.TEXT: {"text": "the sun sets"},
    Rows.PAIR: {"prompt": "2 + 2 = ", "completion": "4"},
    Rows.CHAT: {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]},
    Rows.CHAT_PAIR: {
        "prompt": [{"role": "user", "content": "2 + 2?"}],
        "completion": [{"role": "assistant", "content": "4"}],
    },
}


def write_rows(rows: Rows, path: Path, *, count: int = 6) -> Path:
    """A file of rows of one form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(ROWS[rows]) + "\n" for _ in range(count)))
    return path


def recorded(rows: Rows, train: Path, validation: Path | str = "", **settings) -> RecordedTraining:
    """The record of a short training on a file."""
    data = RecordedData(str(train), str(validation), is_on_hub=False, rows=rows, columns=tuple(ROWS[rows]))
    short = {"learning_rate": 3e-3, "num_train_epochs": 1.0, "per_device_train_batch_size": 2, "bf16": "false"}
    return RecordedTraining(data, TrainingSettings(**short | settings), max_length=64, seed=3)


def language_source(folder: Path, kinds: Sequence[str], training: RecordedTraining | None) -> Source:
    """Some of each kind on a saved language model, with ranks from 1 to 3."""

    def load():
        return AutoModelForCausalLM.from_pretrained(folder)

    return source_of(folder, spread(find_sites(load()), kinds), training)


def uniform_source(folder: Path, rank: int, training: RecordedTraining | None, at_norms: str = "") -> Source:
    """LoRA of one rank in the attention, and another kind on the first norm."""
    sites = find_sites(AutoModelForCausalLM.from_pretrained(folder))
    chosen = [Choice(site.name, "lora", rank) for site in sites if site.role in ("query", "value", "attention_output")]
    norm = next(site.name for site in sites if site.role.is_norm)
    return source_of(folder, Configuration.of([*chosen, *([Choice(norm, at_norms)] if at_norms else [])]), training)


def source_of(folder: Path, configuration: Configuration, training: RecordedTraining | None) -> Source:
    """A configuration with random weights on a saved language model."""
    base = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(0)
    model = attach(base, configuration, sites=find_sites(base), task_type="CAUSAL_LM")
    disturb(model)
    return Source(
        str(folder), model, lambda: AutoModelForCausalLM.from_pretrained(folder), lambda: None, lambda: training
    )


def with_data(training: RecordedTraining, **changes) -> RecordedTraining:
    """The same training on other data."""
    return replace(training, data=replace(training.data, **changes))


def trained_shapes(source: Source) -> dict[str, list[tuple[int, ...]]]:
    """Layer -> the sorted shapes of what our adapter trains there."""
    return {
        path: sorted(tuple(p.shape) for m in layer.modules_of("default").values() for p in m.parameters())
        for path, layer in source.layers()
    }
