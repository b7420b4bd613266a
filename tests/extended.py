"""Run by test_docs in a package with the files of docs/extend.md: conformance, then a search with all of them."""

import csv
import sys
from pathlib import Path

import pytest
import tiny_models
from transformers import OPTConfig

import peftsearch
from peftsearch.models.family import family_of
from peftsearch.space import LINEAR_ROLES, SPACES, Preset

folder = Path(sys.argv[1])
assert Path(peftsearch.__file__).is_relative_to(folder), peftsearch.__file__

CONFIG = OPTConfig(
    vocab_size=tiny_models.VOCABULARY,
    hidden_size=32,
    word_embed_proj_dim=32,
    ffn_dim=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=130,
    pad_token_id=0,
    bos_token_id=2,
    eos_token_id=1,
)
tiny_models.TINY["opt"] = lambda: tiny_models.build(CONFIG)
families = ["-k", "opt or (output_scale and (bert or t5 or gpt2)) or known_exception"]
common = ["-q", "-x", "-p", "no:cacheprovider", "-o", "addopts="]
kinds = pytest.main(["tests/conformance/test_kinds_on_families.py", *families, *common])
methods = ["-k", "halving and (default_space or interruption)"]
searches = pytest.main(["tests/conformance/test_methods_on_families.py", *methods, *common])
assert kinds == searches == 0 and family_of("opt") is not None

with (folder / "spam.csv").open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["text", "label"])
    for i in range(60):
        writer.writerow([f"win money {i}", "spam"] if i % 2 else [f"see you at {i}", "ham"])
SPACES.add("scales", Preset("for this test", {"output_scale": LINEAR_ROLES}, (1,), "docs/extend.md"))
result = peftsearch.search(
    model=str(tiny_models.save_tiny("opt", folder / "opt")),
    task="mail/spam",
    data_dir=str(folder),
    method={"name": "halving", "trials": 2},
    space="scales",
    budget=200,
    baseline=False,
    verify=False,  # a new process does not know the space
    training={"num_train_epochs": 1, "max_seq_length": 16},
    output=str(folder / "run"),
)
assert result.configuration.num_modules_by_kind().keys() == {"output_scale"}
assert 0 < result.metrics["parameters"] <= 200
