"""The memory that `plan` estimates against the peak that happens, on ten shapes with random weights, on a CPU.

Each use of each shape is a process of its own: two training steps with AdamW (uniform LoRA of rank 8, then every
module of the space mixed as in a supernet), or the gradients of pursuit's candidates over four parts. The peak is that
of the process's resident memory above what it had before the model was made. Freed memory goes back to the system at
once, so that the peak is that of what lives.

    OMP_NUM_THREADS=1 python benchmarks/memory_plan.py
"""

import argparse
import ctypes
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    T5Config,
    ViTConfig,
)

from peftsearch.models.discover import find_sites
from peftsearch.models.head import TaskModel, find_head
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import cost_at
from peftsearch.run.memory import Batches, Use, in_gib, need_of
from peftsearch.run.uses import uses_of
from peftsearch.searches.growing import NUM_PARTS
from peftsearch.space import SPACES, SearchSpace
from peftsearch.training.mean_gradients import MeanGradients, without_dropout

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1


@dataclass(frozen=True)
class Case:
    """A model and the batches that it is measured with."""

    config: Callable[[], PretrainedConfig]
    auto_class: type
    batches: Batches

    def make_model(self) -> PreTrainedModel:
        """The model with random weights, on torch's default device."""
        return self.auto_class.from_config(self.config())


def bert(layers: int, width: int) -> BertConfig:
    """A BERT with heads of 64."""
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": 4 * width}
    return BertConfig(**sizes, num_attention_heads=width // 64)


def decoder(config: type, layers: int, width: int) -> PretrainedConfig:
    """A decoder of Llama's sort with a small vocabulary."""
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": 8 * width // 3}
    heads = {"num_attention_heads": width // 64, "num_key_value_heads": width // 128, "head_dim": 64}
    return config(vocab_size=8000, **sizes, **heads, pad_token_id=0)


def t5(layers: int, width: int) -> T5Config:
    """A T5 of version 1.0."""
    sizes = {"d_model": width, "d_ff": 4 * width, "num_layers": layers, "num_heads": width // 64}
    return T5Config(vocab_size=8000, **sizes, decoder_start_token_id=0, pad_token_id=0)


def gpt2(layers: int, width: int) -> GPT2Config:
    """A GPT-2 with heads of 64 and a small vocabulary."""
    return GPT2Config(vocab_size=8000, n_embd=width, n_layer=layers, n_head=width // 64)


LABELS, WRITES = AutoModelForSequenceClassification, AutoModelForSeq2SeqLM
CASES = {
    "BERT 6 x 384": Case(lambda: bert(6, 384), LABELS, Batches(32, 64)),
    "BERT 12 x 768": Case(lambda: bert(12, 768), LABELS, Batches(8, 128)),
    "BERT 12 x 384, checkpointing": Case(lambda: bert(12, 384), LABELS, Batches(32, 128, gradient_checkpointing=True)),
    "DistilBERT 6 x 512": Case(
        lambda: DistilBertConfig(dim=512, n_heads=8, hidden_dim=2048), LABELS, Batches(16, 128)
    ),
    "MPNet 6 x 384": Case(lambda: MPNetConfig(**vars_of(bert(6, 384))), LABELS, Batches(16, 128)),
    "T5 2 x 6 x 512": Case(lambda: t5(6, 512), WRITES, Batches(8, 64)),
    "Llama 8 x 512": Case(lambda: decoder(LlamaConfig, 8, 512), AutoModelForCausalLM, Batches(8, 128)),
    "Qwen3 6 x 768, labels": Case(lambda: decoder(Qwen3Config, 6, 768), LABELS, Batches(8, 128)),
    "GPT-2 6 x 512": Case(lambda: gpt2(6, 512), AutoModelForCausalLM, Batches(8, 128)),
    "ViT 6 x 384": Case(lambda: ViTConfig(**vars_of(bert(6, 384))), AutoModelForImageClassification, Batches(8, 197)),
}


def vars_of(config: BertConfig) -> dict[str, int]:
    """The sizes that other encoders share with BERT."""
    names = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads")
    return {name: getattr(config, name) for name in names}


class RandomLoss:
    """The loss of a model on random inputs, a batch for each part."""

    def __init__(self, model: PeftModel, batches: Batches):
        self.model, self.size = model, batches.size
        base = model.get_base_model()
        if base.main_input_name == "pixel_values":
            inputs = {"pixel_values": torch.randn(batches.size, 3, 224, 224)}
        else:
            inputs = {"input_ids": torch.randint(5, 7000, (batches.size, batches.tokens))}
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        writes = base.get_output_embeddings() is not None
        self.inputs = inputs | {"labels": inputs["input_ids"] if writes else torch.zeros(batches.size).long()}

    def batches(self, rows) -> list[dict]:
        """One batch."""
        return [self.inputs]

    def num_items(self, batch: dict) -> int:
        """Examples of a batch."""
        return self.size

    def mean(self, batch: dict) -> torch.Tensor:
        """The mean loss of a batch."""
        return self.model(**batch).loss


def take_steps(loss: RandomLoss) -> None:
    """Two training steps."""
    trained = [p for p in loss.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    for _ in range(2):
        loss.mean(loss.inputs).backward()
        optimizer.step()
        optimizer.zero_grad()


def take_gradients(loss: RandomLoss) -> None:
    """The gradients of pursuit over its parts."""
    tensors = [p for name, p in loss.model.named_parameters() if p.requires_grad and "peftsearch" in name]
    MeanGradients(loss, [range(loss.size)] * NUM_PARTS)(tensors)


def resident(field: str) -> int:
    """Bytes of a field of this process's status, such as VmRSS or VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def measure(case: Case, use: Use, pipe) -> None:
    """Send the peak of a use, in a process of its own."""
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 16)
    libc.mallopt(_M_TRIM_THRESHOLD, 1 << 16)
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    torch.manual_seed(0)
    model = case.make_model()
    attached = attach(model, use.configuration, sites=find_sites(model), head=find_head(model))
    if case.batches.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    loss = RandomLoss(attached, case.batches)
    if use.moments:
        attached.train()
        take_steps(loss)
    else:
        without_dropout(attached, gradient_checkpointing=case.batches.gradient_checkpointing)
        take_gradients(loss)
    pipe.send(resident("VmHWM") - before)


def main() -> None:
    """Print a row for each use of each shape, and the largest error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated, by their first words")
    parser.add_argument("--uses", default="training,search", help="comma-separated, by their first words")
    arguments = parser.parse_args()
    wanted, of_uses = tuple(arguments.cases.split(",")), tuple(arguments.uses.split(","))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    context, errors = multiprocessing.get_context("fork"), []
    print("| model | batch | use | estimate | measured | error |\n|---|---|---|---|---|---|")
    for name, case in CASES.items():
        if not name.startswith(wanted):
            continue
        with torch.device("meta"):
            model = case.make_model()
        sketch, sites = TaskModel.of(name, model, find_head(model)), find_sites(model)
        space = SearchSpace.build(SPACES["mixed"], sites=sites, cost=cost_at)
        for use in (each for each in uses_of(space, sites) if each.name.startswith(of_uses)):
            estimate = need_of(sketch, sites, use, batches=case.batches).total
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=measure, args=(case, use, sender))
            process.start()
            sender.close()
            found = receiver.recv()
            process.join()
            errors.append(estimate / found - 1)
            size = f"{case.batches.size} x {case.batches.tokens}"
            row = (name, size, use.name, in_gib(estimate), in_gib(found), f"{errors[-1]:+.0%}")
            print(f"| {' | '.join(row)} |", flush=True)
    print(f"\nlargest error {max(map(abs, errors)):.0%} of {len(errors)}")


if __name__ == "__main__":
    main()
