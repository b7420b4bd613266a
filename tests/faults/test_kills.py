"""`kill -9` at 20 moments of a real run, in every phase and in the middle of writing; each goes on to the same end."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from killing import TRAINING, Moment, differing, kill_at, outcome, rows, run, there, writing

pytestmark = pytest.mark.faults

# 60 steps of search, 120 of training, 120 of the baseline.
SEARCH_MOMENTS = [
    rows("search/log.jsonl", 1),
    writing("search"),
    rows("search/log.jsonl", 16),
    writing("search", after=20),
    rows("search/log.jsonl", 35),
    rows("search/log.jsonl", 47),
    writing("search", after=49),
    rows("search/log.jsonl", 59),
    there("search/search.json"),
    rows("training/seed-0/log.jsonl", 1),
    writing("training/seed-0", after=3),
    rows("training/seed-0/log.jsonl", 6),
    writing("training/seed-0", after=8),
    there("training/seed-0/.adapter.tmp"),
    there("training/seed-0/trained.json"),
    rows("baseline/seed-0/log.jsonl", 2),
    writing("baseline/seed-0", after=6),
    there("baseline/seed-0/trained.json"),
    there("adapter"),
    there("results.json"),
]
LORA = [rows("demo/lora/seed-0/training/seed-0/log.jsonl", 3), there("demo/lora/seed-0/training/seed-0/trained.json")]


def of(cell: str, moments: Sequence[Moment]) -> list[Moment]:
    """The moments of a run that is a cell of a comparison."""
    return [
        (f"{cell}: {name}", lambda folder, has_come=has_come: has_come(folder / cell)) for name, has_come in moments
    ]


AUTOPEFT = {"evaluations": 6, "initial": 3, "epochs": 1}
# 60 steps a trial.
AUTOPEFT_MOMENTS = LORA + of(
    "demo/autopeft/seed-0",
    [
        rows("search/trials/0/log.jsonl", 2),
        rows("search/trials.jsonl", 1),
        writing("search/trials/1"),
        rows("search/trials.jsonl", 2),
        rows("search/trials/2/log.jsonl", 3),
        rows("search/trials.jsonl", 3),
        writing("search/trials/3"),
        rows("search/trials.jsonl", 4),
        rows("search/trials/4/log.jsonl", 2),
        rows("search/trials.jsonl", 5),
        writing("search/trials/5"),
        rows("search/trials.jsonl", 6),
        there("search/search.json"),
        rows("training/seed-0/log.jsonl", 2),
        writing("training/seed-0", after=4),
        there("training/seed-0/trained.json"),
        there("adapter"),
        there("results.json"),
    ],
)
EVOLUTIONARY = {"population": 8, "generations": 3, "parents": 4}
# 120 steps of the supernet.
EVOLUTIONARY_MOMENTS = LORA + of(
    "demo/evolutionary/seed-0",
    [
        rows("search/log.jsonl", 1),
        writing("search"),
        rows("search/log.jsonl", 25),
        writing("search", after=50),
        rows("search/log.jsonl", 75),
        rows("search/log.jsonl", 115),
        there("search/supernet.json"),
        rows("search/trials.jsonl", 1),
        rows("search/trials.jsonl", 5),
        rows("search/trials.jsonl", 9),
        rows("search/trials.jsonl", 14),
        there("search/search.json"),
        rows("training/seed-0/log.jsonl", 2),
        writing("training/seed-0", after=4),
        rows("training/seed-0/log.jsonl", 10),
        there("training/seed-0/trained.json"),
        there("adapter"),
        there("results.json"),
    ],
)


def survive(arguments: list[str], moments: list[Moment], runs: Sequence[str], folder: Path) -> None:
    """Kill one run again and again; what each kill has left goes on to its end, and is put back for the next.

    Args:
        runs: run folders within the output whose results are compared; "" for the output itself.
    """
    assert len(moments) == 20
    code, output = run([*arguments, "--output", str(folder / "unbroken")])
    assert code == 0, output[-3000:]
    expected = [outcome(folder / "unbroken" / name) for name in runs]
    killed, equal = folder / "killed", []
    for number, moment in enumerate(moments, start=1):
        resume = ["--resume"] if killed.exists() else []
        kill_at([*arguments, "--output", str(killed), *resume], moment, killed)
        # The run goes on where it was, as its settings name files in its folder; what the kill has left comes back.
        left = folder / "left"
        shutil.copytree(killed, left)
        code, output = run([*arguments, "--output", str(killed), "--resume"])
        assert code == 0, f"{moment[0]}:\n{output[-3000:]}"
        wrong = [n for name, right in zip(runs, expected) for n in differing(right, outcome(killed / name))]
        print(f"kill {number} of {len(moments)}, {moment[0]}: {wrong or 'equal'}", flush=True)
        equal.append(not wrong)
        shutil.rmtree(killed)
        left.rename(killed)
    assert sum(equal) == len(moments) == 20


def test_a_killed_search_ends_as_the_unbroken_one(search, tmp_path):
    survive(search, SEARCH_MOMENTS, [""], tmp_path)


@pytest.mark.parametrize(
    ("method", "settings", "moments"),
    [("autopeft", AUTOPEFT, AUTOPEFT_MOMENTS), ("evolutionary", EVOLUTIONARY, EVOLUTIONARY_MOMENTS)],
    ids=["autopeft", "evolutionary"],
)
def test_a_killed_comparison_ends_as_the_unbroken_one(method, settings, moments, task, tmp_path):
    config = tmp_path / "compare.yaml"
    document = {"model": "demo", "budget": "0.1%", "methods": {method: settings}, "seeds": 1}
    document |= {"tasks": [str(task)], "verify": False, "training": TRAINING}
    config.write_text(yaml.safe_dump(document))
    survive(
        ["compare", "--config", str(config)], moments, [f"demo/{name}/seed-0" for name in ("lora", method)], tmp_path
    )
