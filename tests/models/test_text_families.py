"""The committed table of docs/families.md: no text model of transformers that was found is lost."""

import pytest
import transformers
from text_families import PAGE, TEXT_TYPES, find_row

ROOT = PAGE.parents[1]
TABLE = PAGE.read_text(encoding="utf-8").split("<!-- table -->")[1]
COMMITTED = [line for line in TABLE.splitlines() if line.startswith("| `")]
BY_TYPE = {line.split("`")[1]: line for line in COMMITTED}


@pytest.mark.parametrize("model_type", TEXT_TYPES)
def test_sites_of_a_text_model_are_those_of_the_table(model_type):
    if model_type not in BY_TYPE:
        pytest.skip(f"transformers {transformers.__version__} has it, the table not yet")
    # If this is meant: python tests/text_families.py
    assert str(find_row(model_type)) == BY_TYPE[model_type]


def test_the_readme_gives_the_counts_of_the_table():
    (sentence,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("Of the ")]
    assert sentence in (ROOT / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    assert f"the {len(COMMITTED)} model types" in sentence
