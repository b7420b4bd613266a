"""The benchmark of one card, as far as it runs on a CPU."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    """The script, imported as its neighbours import each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu

    yield gpu
    # Their names are short, and nobody else's tests shall meet them.
    for name in [path.stem for path in BENCHMARKS.glob("*.py")]:
        sys.modules.pop(name, None)


def table_of(gpu, results: dict):
    return gpu.Table("a card", {"small": "2 x 8"}, {("small", what): found for what, found in results.items()})


def test_a_ratio_at_the_limit_meets_its_target_and_one_above_misses_it(gpu):
    memory = {gpu.SEARCH: gpu.Measured(1.0, 16, peak=2.4), gpu.ALL_MAPS: gpu.Measured(1.0, 16, peak=2.0)}
    steps = {gpu.OURS: gpu.Measured(0.106, 16), gpu.BASE: gpu.Measured(0.1, 16)}
    lines = table_of(gpu, memory | steps).text().splitlines()
    assert "| small | memory of the search over peft LoRA r=8, all maps | 1.20 | 1.200 | met |" in lines
    assert "| small | training step over peft LoRA's, same modules | 1.05 | 1.060 | missed |" in lines
    assert "| small | search step over two plain passes | 1.15 | | not measured |" in lines


def test_a_row_has_milliseconds_tokens_a_second_and_both_ratios(gpu):
    found = {gpu.BASE: gpu.Measured(0.1, 50, peak=2.0), gpu.OURS: gpu.Measured(0.2, 50, peak=3.0, note="said")}
    row = table_of(gpu, found).row("small", gpu.OURS)
    assert row == f"| small, 2 x 8 | {gpu.OURS} | 200.0 | 250 | 3.00 | 2.00 | 1.50 | said |"


def test_what_fails_is_named_and_the_rest_goes_on(gpu, monkeypatch):
    def fail(case):
        raise RuntimeError("out of luck\nand more")

    monkeypatch.setattr(gpu, "MEASUREMENTS", {"bad": fail, "good": lambda case: gpu.Measured(1.0, 16)})
    table, shown = table_of(gpu, {}), []
    case = gpu.Case(gpu.SHAPES["tiny-t5"], None, torch.device("cpu"))
    gpu.measure_all({"small": case}, table, deadline=time.monotonic() + 60, show=shown.append)
    assert "failed: RuntimeError: out of luck |" in shown[0] and "1000.0" in shown[1]


def test_without_time_everything_is_named_as_not_measured(gpu):
    table = table_of(gpu, {})
    case = gpu.Case(gpu.SHAPES["tiny-t5"], None, torch.device("cpu"))
    gpu.measure_all({"small": case}, table, deadline=time.monotonic() - 1, show=lambda row: None)
    assert set(table.results.values()) == {"not measured: no time left"}
    assert len(table.results) == len(gpu.MEASUREMENTS)


def run(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), *words], capture_output=True, text=True, timeout=300, **options
    )


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so():
    done = run()
    assert done.returncode != 0 and "There is no GPU here" in done.stderr


@pytest.mark.slow
def test_every_row_is_measured_on_tiny_models(tmp_path):
    sizes = ("--shapes", "tiny-t5,tiny-llama", "--batch_size", "2", "--length", "6")
    done = run("--device", "cpu", "--steps", "1", *sizes, "--output", str(tmp_path / "table.md"))
    assert done.returncode == 0, done.stderr[-2000:]
    written = (tmp_path / "table.md").read_text()
    assert written == done.stdout[:-1]  # print's own end of line
    rows = [line.split(" | ") for line in written.splitlines() if line.startswith("| tiny-")]
    measured = [row for row in rows if row[0].endswith("2 x 6")]
    # 8 rows a model, in which only TRL's has no time.
    assert len(measured) == 16 and sum(row[2] != "" for row in measured if "TRL" not in row[1]) == 14
