"""What a search adds to a plain LoRA training of large Llamas: computation and bytes sent, counted on the meta device.

Models have shapes and no weights. Products are counted by torch's FlopCounterMode over one sequence, forward and
backward, with the modules attached; bytes sent are those of a ring all-reduce of the modules' gradients in float32,
each process sending 2 (p - 1) / p times their size. Nothing here is a time.

    python benchmarks/growth.py
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig

from peftsearch.methods.manual.manual_methods import MANUAL_METHODS
from peftsearch.methods.manual.method import place
from peftsearch.methods.pursuit.method import Pursuit
from peftsearch.methods.pursuit.settings import PursuitSettings
from peftsearch.models.discover import find_sites
from peftsearch.models.load import sketch_model
from peftsearch.modules.attach import attach, count_peft_parameters
from peftsearch.modules.costs import cost_at
from peftsearch.space import SPACES, Configuration, SearchSpace, Site
from peftsearch.task_head import CAUSAL_LM, TaskHead

BYTES = 4  # of a gradient in float32
PROCESSES = (2, 8, 64)


def llama(layers: int, width: int, inner: int, heads: int) -> LlamaConfig:
    """The configuration of a Llama 3.1."""
    return LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=inner,
        num_attention_heads=heads,
        num_key_value_heads=8,
        vocab_size=128256,
        tie_word_embeddings=False,
    )


SHAPES = {
    "8B": llama(32, 4096, 14336, 32),
    "70B": llama(80, 8192, 28672, 64),
    "405B": llama(126, 16384, 53248, 128),
}


@dataclass(frozen=True)
class Counted:
    """A pass over one sequence with some modules attached.

    Args:
        modules: number of them.
        parameters: of the modules.
        products: floating-point operations of matrix products, forward and backward.
    """

    modules: int
    parameters: int
    products: int

    def sent(self, processes: int) -> float:
        """Bytes that each process sends to average the gradients of one step."""
        return 2 * (processes - 1) / processes * BYTES * self.parameters


def uniform_lora(sites: list[Site], rank: int) -> Configuration:
    """LoRA of one rank at every linear map."""
    return place(MANUAL_METHODS["lora_all"], sites, rank=rank)


def configurations(sites: list[Site]) -> Iterator[tuple[str, Configuration]]:
    """What is attached: LoRA by hand, and what searches attach at their start."""
    for rank in (1, 8, 64):
        yield f"LoRA, rank {rank}", uniform_lora(sites, rank)
    for name in ("mixed", "s2"):
        space = SearchSpace.build(SPACES[name], sites=sites, cost=cost_at)
        yield f"BIPEFT's supernet, `{name}`", space.largest
    settings = PursuitSettings()
    space = SearchSpace.build(SPACES["mixed"], sites=sites, cost=cost_at)
    pursuit = Pursuit(space, budgets=[space.cost(space.largest)], settings=settings, seed=0)
    yield "pursuit's candidates, `mixed`", pursuit.candidates(Configuration())


def count(folder: Path, configuration: Configuration, tokens: int) -> Counted:
    """Count a pass forward and backward over one sequence."""
    loaded = sketch_model(str(folder), TaskHead(CAUSAL_LM))
    with torch.device("meta"):
        model = attach(loaded.model, configuration, sites=find_sites(loaded.model), task_type="CAUSAL_LM")
    ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    return Counted(len(configuration), count_peft_parameters(model), counter.get_total_flops())


def main() -> None:
    """Print a row for each shape and set of modules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--tokens", type=int, default=1024, help="of the sequence")
    arguments = parser.parse_args()
    sent = " | ".join(f"sent, {p} processes" for p in PROCESSES)
    print(f"| model | attached | modules | parameters | a pass, TFLOP | over LoRA, rank 8 | {sent} |")
    print("|---" * (6 + len(PROCESSES)) + "|")
    for name in arguments.shapes.split(","):
        with TemporaryDirectory() as folder:
            SHAPES[name].save_pretrained(folder)
            sites = find_sites(sketch_model(folder).model)
            reference = count(Path(folder), uniform_lora(sites, 8), arguments.tokens).products
            for what, configuration in configurations(sites):
                found = count(Path(folder), configuration, arguments.tokens)
                over = f"{found.products / 1e12:.1f} | {found.products / reference:.3f}"
                bytes_sent = " | ".join(f"{found.sent(p) / 1e9:.2f} GB" for p in PROCESSES)
                sizes = f"{found.modules:,} | {found.parameters:,} | {over} | {bytes_sent}"
                print(f"| {name} | {what} | {sizes} |", flush=True)


if __name__ == "__main__":
    main()
