"""What everything costs that is not training: import, --help, plan, discovery, saving and loading.

Processes are started anew, several times, and medians taken; their memory is the peak of the resident set. Each is
put beside a bare `import torch` in a process of its own, as machines differ.

    python benchmarks/overhead.py
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

COMMAND = "import sys; from peftsearch.cli.main import main; sys.exit(main())"
# As files and not by transformers, which would make this process, and so the peaks of its children, large.
CONFIGS = {
    "T5-large": {
        "model_type": "t5",
        "d_model": 1024,
        "d_ff": 4096,
        "d_kv": 64,
        "num_heads": 16,
        "num_layers": 24,
        "decoder_start_token_id": 0,
    },
    "Llama 70B": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "pad_token_id": 0,
    },
}


def in_processes(code: str, words: list[str], repeats: int) -> tuple[float, float]:
    """Median seconds and the largest peak in GiB of fresh processes."""
    seconds, peaks = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
        peaks.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20)
    return statistics.median(seconds), peaks[-1]


def in_this_process(action: Callable[[], object], repeats: int) -> float:
    """Median seconds of an action here."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def show(what: str, seconds: float, memory: float | None = None) -> None:
    """Print a row of the table."""
    print(f"| {what} | {seconds:.3f} | {'' if memory is None else f'{memory:.2f}'} |", flush=True)


def measure_processes(folder: Path, repeats: int) -> None:
    """Starts, from the smallest to the largest, as a child's peak counts for all after it."""
    show("`peftsearch --help`", *in_processes(COMMAND, ["--help"], repeats))
    show("`peftsearch search --help`", *in_processes(COMMAND, ["search", "--help"], repeats))
    show("`import peftsearch`", *in_processes("import peftsearch", [], repeats))
    show("`import torch`, to compare", *in_processes("import torch", [], repeats))
    show("`import transformers, peft`, to compare", *in_processes("import transformers, peft, torch", [], repeats))
    for name, config in CONFIGS.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
        words = ["plan", "--model", str(folder / name), "--budget", "0.05%"]
        show(f"`peftsearch plan`, {name}", *in_processes(COMMAND, words, repeats))


def measure_adapters(folder: Path, repeats: int) -> None:
    """Discovery, attaching, saving and loading on MiniLM, with every module of space s2."""
    from peft import PeftModel
    from shapes import SHAPES

    from peftsearch.models.discover import find_sites
    from peftsearch.modules.attach import attach
    from peftsearch.modules.costs import cost_at
    from peftsearch.space import SPACES, SearchSpace

    shape = SHAPES["minilm"]
    model = shape.make_model()
    sites = find_sites(model)
    largest = SearchSpace.build(SPACES["s2"], sites=sites, cost=cost_at).largest
    fresh = [shape.make_model() for _ in range(2 * repeats)]
    show("discovery, MiniLM", in_this_process(lambda: find_sites(model), repeats))
    attached = []
    made = in_this_process(lambda: attached.append(attach(fresh.pop(), largest, sites=sites)), repeats)
    show(f"attaching {len(largest)} modules", made)
    show("saving them", in_this_process(lambda: attached[0].save_pretrained(str(folder / "adapter")), repeats))
    load = in_this_process(lambda: PeftModel.from_pretrained(fresh.pop(), str(folder / "adapter")), repeats)
    show("loading them", load)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print("| | seconds | GiB |\n|---|---|---|")
    with TemporaryDirectory() as folder:
        measure_processes(Path(folder), arguments.repeats)
        measure_adapters(Path(folder), arguments.repeats)


if __name__ == "__main__":
    main()
