"""Run by test_docs with the package of docs/extend.md installed: a search with all that it adds, and its check.

The argument is the package's folder.
"""

import sys
from pathlib import Path

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))

from test_extras import MAILS, TINY_OPT  # noqa: E402

import peftsearch  # noqa: E402
from peftsearch.families import FAMILIES  # noqa: E402
from peftsearch.testing import build, tiny_tokenizer  # noqa: E402

build(TINY_OPT).save_pretrained(folder / "opt")
tiny_tokenizer().save_pretrained(folder / "opt")
(folder / "spam.csv").write_text("text,label\n" + MAILS)
result = peftsearch.search(
    model=str(folder / "opt"),
    task="mail/spam",
    data_dir=str(folder),
    method={"name": "halving", "trials": 2},
    space="scales",
    budget=200,
    baseline=False,
    training={"num_train_epochs": 1, "max_seq_length": 16},
    output=str(folder / "run"),
)
assert "opt" in FAMILIES
assert result.metrics["task"] == "mail/spam" and result.metrics["method"] == "halving"
assert result.configuration.num_modules_by_kind().keys() == {"output_scale"}
assert 0 < result.metrics["parameters"] == result.metrics["verified"]["parameters"] <= 200
