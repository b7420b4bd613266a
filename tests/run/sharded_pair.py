"""Whole runs on models that two processes share out, and that one holds; `test_sharded_models.py` compares them.

`torchrun --nproc_per_node 2 sharded_pair.py FOLDER` writes the runs of two processes, after `prepare(FOLDER)`;
with `short` behind it the second one runs out of memory.
"""

import json
import os
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from one_of_a_pair import METHODS, search_in_trainer, without_dropout
from torch.distributed.tensor import DTensor
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

import peftsearch
from peftsearch import processes
from peftsearch.cli.main import main
from peftsearch.environment import count_launched, index_launched
from peftsearch.models.load import load_model
from peftsearch.tasks import language_model
from peftsearch.testing.small_runs import small_run, write_review_files
from peftsearch.testing.tiny_models import save_tiny, save_tiny_language_model, tiny_tokenizer
from peftsearch.training.trainer import TaskTrainer

_NAMES = {"train": 30, "valid": 9, "test": 7}
BATCH = 8
# Methods of a Trainer: one with gates and one that grows, with short trainings.
IN_TRAINER = ("bipeft", "pursuit")
# Folder of the run that is out of memory.
SHORT = "short"


def _write_rows(folder: Path, make: Callable[[random.Random], dict]) -> str:
    """Three files, in which one process of two gets more and longer rows than the other."""
    rng, paths = random.Random(0), []
    for name, size in _NAMES.items():
        paths.append(folder / f"{name}.jsonl")
        paths[-1].write_text("".join(json.dumps(make(rng)) + "\n" for _ in range(size)))
    return ",".join(map(str, paths))


def _letters(rng: random.Random) -> dict[str, str]:
    count = rng.randint(1, 20)
    return {"prompt": f"{count}:", "completion": "a" * count}


def _reviews(folder: Path, family: str, **changes: Any) -> Mapping[str, Any]:
    model = without_dropout(save_tiny(family, folder / "model"))
    return small_run(model=model, reviews=write_review_files(folder), output=folder, **changes)


def _texts(folder: Path, model: Path, **changes: Any) -> Mapping[str, Any]:
    training = {"num_train_epochs": 2, "learning_rate": 1e-2, "max_new_tokens": 9, "per_device_eval_batch_size": 4}
    training |= changes.pop("training", {})
    given = {"model": str(without_dropout(model)), "data": _write_rows(folder, _letters), "budget": "2000"}
    return given | {"verify": False, "training": training} | changes


def _bert(folder: Path) -> Mapping[str, Any]:
    return _reviews(folder, "bert")


def _searched_by(method: Mapping[str, Any], **training: Any) -> Callable[[Path], Mapping[str, Any]]:
    def settings(folder: Path) -> Mapping[str, Any]:
        given = _reviews(folder, "bert", method=method, baseline=False)
        return {**given, "training": {**given["training"], **training}}

    return settings


def _bart(folder: Path) -> Mapping[str, Any]:
    return _texts(folder, save_tiny("bart", folder / "model"), metric="exact_text")


def _llama(folder: Path) -> Mapping[str, Any]:
    model = save_tiny_language_model("llama", folder / "model")
    return _texts(folder, model, metric="exact_text", training={"gradient_checkpointing": True})


def _albert(folder: Path) -> Mapping[str, Any]:
    """A model that runs one block several times."""
    config = AlbertConfig(
        vocab_size=300, embedding_size=16, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, pad_token_id=0, bos_token_id=2, eos_token_id=1, classifier_dropout_prob=0,
    )  # fmt: skip
    AlbertForSequenceClassification(config).save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    given = {"model": folder / "model", "reviews": write_review_files(folder), "output": folder}
    return small_run(**given, method={"name": "pursuit"})


CASES = {
    "bert": _bert,
    "bart": _bart,
    "llama": _llama,
    "albert": _albert,
    "s3delta": _searched_by(METHODS["s3delta"]),
    "s3delta-first": _searched_by(METHODS["s3delta-first"]),
    "prunepeft": _searched_by(METHODS["prunepeft"]),
    "random": _searched_by(METHODS["random"]),
    "race": _searched_by(METHODS["race"], learning_rate="auto"),
}


def prepare(folder: Path) -> None:
    """Write the model, the data and the settings of every case."""
    for name, settings in CASES.items():
        (folder / name).mkdir()
        (folder / name / "settings.json").write_text(json.dumps(settings(folder / name), default=str))


def run(folder: Path) -> None:
    """Search in every case, with as many examples a step whatever the number of processes."""
    # So that a batch takes several passes, and not as many in each process.
    language_model._MAX_LOGITS = 300 * 12
    for name in CASES:
        place = folder / f"{name}-of-{count_launched()}"
        given = json.loads((folder / name / "settings.json").read_text())
        training = given["training"] | {"per_device_train_batch_size": BATCH // count_launched()}
        peftsearch.search(**given | {"training": training, "output": str(place), "shard_model": True})


def run_in_trainer(folder: Path) -> None:
    """Search and train in Trainers of the user's, as `accelerate launch --use_fsdp` starts them, and save."""

    def load() -> PreTrainedModel:
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(folder / "bert" / "model")
        # Transformers loads the weights in the first process alone.
        assert any(weight.is_meta for weight in model.parameters()) == (index_launched() > 0)
        return model

    for method in IN_TRAINER:
        if count_launched() > 1:
            os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
        place = folder / f"in-trainer-{method}-of-{count_launched()}"
        trainer = search_in_trainer(method, place, make_model=load)
        trainer.save_model(str(place / "adapter"))
        found = {"loss": trainer.evaluate()["eval_loss"]}
        found["shared_out"] = sum(isinstance(p, DTensor) for p in trainer.model.parameters())
        if not index_launched():
            (place / "found.json").write_text(json.dumps(found))


def measure(folder: Path) -> None:
    """Write how many of the weights of the blocks this process holds."""
    with processes.joined(60, shard_model=True):
        model = load_model(str(folder / "llama" / "model"), num_labels=2).model
        weights = [p for p in model.parameters() if isinstance(p, DTensor)]
        held = {"held": sum(p.to_local().numel() for p in weights), "of": sum(p.numel() for p in weights)}
        (folder / f"held-by-{processes.index()}.json").write_text(json.dumps(held))


def run_short_of_memory(folder: Path) -> int:
    """Search in the first case by the command, where the second process has no memory for its fourth pass."""
    compute_loss, passes = TaskTrainer.compute_loss, iter(range(10**6))

    def fails(*args: Any, **kwargs: Any) -> Any:
        if index_launched() == 1 and next(passes) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return compute_loss(*args, **kwargs)

    TaskTrainer.compute_loss = fails
    given = {"output": folder / SHORT, "shard_model": "true", "save_steps": 1}
    given["per_device_train_batch_size"] = BATCH // 2
    flags = (word for name, value in given.items() for word in (f"--{name}", str(value)))
    return main(["search", "--config", str(folder / "bert" / "settings.json"), *flags])


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if sys.argv[2:] == ["short"]:
        sys.exit(run_short_of_memory(place))
    measure(place)
    run(place)
    run_in_trainer(place)
