"""Describe text classification sets as task files for `peftsearch compare`.

The validation files are cut, because searches score them often: to their first rows, or with `--seed` to rows drawn at
random, for files that are sorted by label. Training and test files are used as they are; of a set without a test file
the rows that are cut off are the test.

    python benchmarks/text_tasks.py --data_dir ../shared/data/text --validation 300 --output runs/text_tasks
    python benchmarks/text_tasks.py --data_dir ../shared/data/text ../shared/data/more --tasks trec,hwu64,banking77 \
        --validation 600 --seed 0 --output runs/intent_tasks
"""

import argparse
import random
from pathlib import Path

import yaml

TASKS = "trec,mr,cr,subj"
# Text columns of sets that have no "text".
TEXT_COLUMNS = {
    "cola": "sentence",
    "mnli": "premise,hypothesis",
    "mrpc": "sentence1,sentence2",
    "qqp": "question1,question2",
    "rte": "sentence1,sentence2",
}


def write_task(source: Path, output: Path, *, validation: int, seed: int | None) -> Path:
    """Write the task file of a folder and the cut validation file beside it.

    Args:
        source: folder with {train,validation,test}.jsonl, of which the last may be missing; its name is the task's.
        output: folder to write.
        validation: rows kept of the validation file.
        seed: of the draw; None keeps the first rows.
    """
    cut, test = output / f"{source.name}-validation.jsonl", source / "test.jsonl"
    lines = (source / "validation.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    if seed is not None:
        random.Random(seed).shuffle(lines)
    cut.write_text("".join(lines[:validation]), encoding="utf-8")
    if not test.exists():
        test = output / f"{source.name}-test.jsonl"
        test.write_text("".join(lines[validation:]), encoding="utf-8")
    files = [source / "train.jsonl", cut, test]
    names = ",".join(str(file.resolve()) for file in files)
    path = output / f"{source.name}.yaml"
    task = {"name": source.name, "data": names, "text": TEXT_COLUMNS.get(source.name, "text"), "label": "label"}
    path.write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, nargs="+", required=True, help="folders with the sets' folders")
    parser.add_argument("--tasks", default=TASKS, help="names of the sets' folders, comma-separated")
    parser.add_argument("--validation", type=int, default=300, help="rows kept of each validation file")
    parser.add_argument("--seed", type=int, help="draw those rows at random; without it they are the first")
    parser.add_argument("--output", type=Path, default=Path("runs/text_tasks"))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.tasks.split(","):
        source = next(folder / name for folder in args.data_dir if (folder / name).is_dir())
        print(write_task(source, args.output, validation=args.validation, seed=args.seed))


if __name__ == "__main__":
    main()
