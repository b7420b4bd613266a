"""Describe TREC, MR, CR and SUBJ as task files for `peftsearch compare`.

The validation files are cut to their first rows, because a search by trials scores them after every epoch of every
trial; training and test files are used as they are.

    python benchmarks/text_tasks.py --data_dir ../shared/data/text --validation 300 --output runs/text_tasks
"""

import argparse
from pathlib import Path

import yaml

TASKS = ("trec", "mr", "cr", "subj")


def write_task(name: str, source: Path, output: Path, validation: int) -> Path:
    """Write one task file and the cut validation file beside it."""
    cut = output / f"{name}-validation.jsonl"
    lines = (source / "validation.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    cut.write_text("".join(lines[:validation]), encoding="utf-8")
    files = [source / "train.jsonl", cut, source / "test.jsonl"]
    task = {"name": name, "data": ",".join(str(file.resolve()) for file in files), "text": "text", "label": "label"}
    path = output / f"{name}.yaml"
    path.write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with TASK/{train,validation,test}.jsonl")
    parser.add_argument("--validation", type=int, default=300, help="rows kept of each validation file")
    parser.add_argument("--output", type=Path, default=Path("runs/text_tasks"))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    paths = [write_task(name, args.data_dir / name, args.output, args.validation) for name in TASKS]
    print(",".join(map(str, paths)))


if __name__ == "__main__":
    main()
