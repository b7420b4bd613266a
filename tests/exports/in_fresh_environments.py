"""Export from tiny models and MiniLM, and load or train the results in environments without peftsearch.

`make test-exports` runs it. The environments stay in build/exports for the next time; `make clean` removes them.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from export_cases import source_on, spread
from safetensors.torch import save_file
from trained_models import language_source, recorded, trained_shapes, uniform_source, write_rows

from peftsearch.exports.recorded_training import Rows
from peftsearch.exports.source import Source
from peftsearch.exports.writing import write_export
from peftsearch.models.discover import find_sites
from peftsearch.models.load import load_model, load_tokenizer
from peftsearch.space import Role
from peftsearch.testing.tiny_models import CONFIGS, build, save_tiny_language_model, tiny_tokenizer

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "exports"
CASES, TRAINED = BUILD / "cases", BUILD / "trained"
LOADER, TRAINER = (Path(__file__).with_name(name) for name in ("load_exports.py", "train_exports.py"))
IN_PEFT, IN_ADAPTERS = ("lora", "servable", "merged"), ("adapters",)
CONSTRAINED = ["-c", str(ROOT / "constraints.txt")]
ENVIRONMENTS = {
    "peft": ([*CONSTRAINED, "transformers", "peft", "safetensors"], IN_PEFT),
    "adapters": (["adapters==1.3.0"], IN_ADAPTERS),
}
# What a tool needs for what is checked; the tools themselves are installed without all else that they name, which is
# made for GPUs.
TOOLS = {
    "trl": ([*CONSTRAINED, "transformers", "peft", "datasets", "pandas", "trl"], []),
    "axolotl": (
        [
            *("transformers==5.16.1", "peft==0.20.0", "accelerate==1.13.0", "datasets==4.8.4", "pydantic==2.12.5"),
            *("addict", "art", "backoff", "colorama", "distro", "fire", "numba", "posthog==6.7.11", "python-dotenv"),
            *("pillow", "requests", "termcolor"),
        ],
        ["axolotl==0.19.0", "trl==1.9.0", "bitsandbytes==0.50.2"],
    ),
    "llamafactory": (
        [
            *("transformers==5.6.0", "peft==0.18.1", "accelerate==1.11.0", "datasets==4.0.0", "gradio==5.50.0"),
            *("av==16.0.0", "einops", "fire", "matplotlib", "omegaconf", "pandas", "scipy", "sentencepiece"),
            *("sse-starlette", "termcolor", "tiktoken", "tyro<0.9", "uvicorn", "fastapi"),
        ],
        ["llamafactory==0.9.5", "trl==0.24.0", "torchdata==0.11.0"],
    ),
}
# Packages that a tool imports and needs for sound alone; torchaudio 2.11 wants CUDA's libraries even to be imported.
UNUSED = {"llamafactory": ["torchaudio"]}
# The forms of rows that each tool reads.
READ = {
    "trl": tuple(Rows),
    "axolotl": (Rows.TEXT, Rows.PAIR, Rows.CHAT),
    "llamafactory": (Rows.TEXT, Rows.CHAT),
}
ATTENTION = {Role.QUERY, Role.KEY, Role.VALUE, Role.CROSS_QUERY, Role.CROSS_VALUE}
NUM_LABELS = 3


@dataclass(frozen=True)
class Structure:
    """What is attached, and what can be made of it.

    Args:
        kinds: some of each.
        roles: where; everywhere by default.
        formats: that must work.
    """

    kinds: tuple[str, ...]
    formats: tuple[str, ...]
    roles: frozenset[Role] = frozenset(Role)


def structures(family: str) -> dict[str, Structure]:
    norms = ("lora", "lnfit") if family != "minilm" else ("lora", "bitfit", "lnfit")
    return {
        "attention": Structure(("lora",), (*IN_PEFT, *IN_ADAPTERS), frozenset(ATTENTION)),
        "everywhere": Structure(norms, ("lora", "merged")),
        "bottlenecks": Structure(("serial_adapter", "low_rank_adapter"), IN_ADAPTERS),
    }


def save_bases() -> dict[str, Path]:
    """Pretrained models without a trained head, with their tokenizers."""
    folders = {family: BUILD / "bases" / family for family in ("minilm", "t5", "llama")}
    torch.manual_seed(0)
    load_model("demo", num_labels=NUM_LABELS).model.base_model.save_pretrained(folders["minilm"])
    build(CONFIGS["t5"]()).save_pretrained(folders["t5"])
    build(CONFIGS["llama"]()).base_model.save_pretrained(folders["llama"])
    for family, folder in folders.items():
        tokenizer = load_tokenizer("demo") if family == "minilm" else tiny_tokenizer()
        tokenizer.save_pretrained(folder)
    return folders


def make_source(family: str, folder: Path, structure: Structure) -> Source:
    num_labels = None if family == "t5" else NUM_LABELS
    base = load_model(str(folder), num_labels=num_labels).model
    sites = [site for site in find_sites(base) if site.role in structure.roles]
    return source_on(base, spread(sites, structure.kinds), name=str(folder))


def write_case(family: str, folder: Path, name: str, structure: Structure) -> None:
    """Every export of a structure, with inputs and the outputs that we compute."""
    case = CASES / f"{family}-{name}"
    for entry in structure.formats:
        source = make_source(family, folder, structure)
        inputs = make_inputs(source)
        with torch.no_grad():
            logits = source.model.eval()(**inputs).logits
        write_export(source, entry, case / entry)
    save_file(inputs | {"logits": logits.contiguous()}, case / "tensors.safetensors")
    num_labels = None if family == "t5" else NUM_LABELS
    (case / "case.json").write_text(json.dumps({"base": str(folder), "num_labels": num_labels}))


def write_trainings() -> None:
    """What was found on a tiny language model, for each tool that trains it."""
    base = save_tiny_language_model("llama", BUILD / "bases" / "language_model")
    for tool, rows in ((tool, rows) for tool, forms in READ.items() for rows in forms):
        folder = TRAINED / rows.name.lower()
        train, validation = (write_rows(rows, folder / f"{name}.jsonl") for name in ("train", "validation"))
        training = recorded(rows, train, validation, assistant_only=rows is Rows.CHAT)
        one_rank = tool == "llamafactory"
        source = (
            uniform_source(base, 2, training, "lnfit")
            if one_rank
            else language_source(base, ("lora", "lnfit"), training)
        )
        write_export(source, tool, folder / tool)
        (folder / tool / "case.json").write_text(json.dumps(trained_shapes(source)))


def make_inputs(source: Source) -> dict[str, torch.Tensor]:
    """Two sequences, the second one padded."""
    config = source.base.config
    ids = torch.randint(100, 250, (2, 9), generator=torch.Generator().manual_seed(3))
    ids[1, 6:] = config.pad_token_id
    inputs = {"input_ids": ids, "attention_mask": (ids != config.pad_token_id).long()}
    return inputs | ({"decoder_input_ids": ids[:, :4].clone()} if config.is_encoder_decoder else {})


def make_environment(name: str, packages: list[str], alone: list[str] | None = None) -> Path:
    """A virtual environment; torch comes first, whose pinned version has a small CPU build."""
    folder = BUILD / f"{name}-environment"
    python = folder / "bin" / "python"
    if not (folder / "installed").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *CONSTRAINED, "torch"], check=True)
        subprocess.run([*install, *packages], check=True)
        if alone:
            subprocess.run([*install, "--no-deps", *alone], check=True)
        (packages_folder,) = folder.glob("lib/python*/site-packages")
        for module in UNUSED.get(name, []):
            (packages_folder / f"{module}.py").touch()
        (folder / "installed").touch()
    return python


def main() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for folder in (CASES, TRAINED):
        shutil.rmtree(folder, ignore_errors=True)
    write_trainings()
    for family, folder in save_bases().items():
        for name, structure in structures(family).items():
            write_case(family, folder, name, structure)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    for name, (packages, formats) in ENVIRONMENTS.items():
        python = make_environment(name, packages)
        subprocess.run([str(python), "-W", "ignore", str(LOADER), str(CASES), *formats], check=True, env=clean)
    for name, (packages, alone) in TOOLS.items():
        python = make_environment(name, packages, alone)
        subprocess.run([str(python), "-W", "ignore", str(TRAINER), name, str(TRAINED)], check=True, env=clean)


if __name__ == "__main__":
    main()
