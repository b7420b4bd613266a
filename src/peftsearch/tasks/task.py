"""Tasks with their examples, splits, labels and metrics.

Torch is not imported here, so that `peftsearch list tasks` is quick.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from peftsearch.tasks.span_rules import MAX_ANSWER_LENGTH, SpanRules
from peftsearch.tasks.text_files import UTF_8

TRAIN, VALIDATION, TEST = "train", "validation", "test"


class Goal(StrEnum):
    """What is predicted: a class, a number, one of some answers, a class a word, a text, several labels, or a span.

    Or the next token: of whole texts, of a prompt's completion, or of chats.
    """

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    ANSWER = "answer"
    TAGS = "tags"
    TEXT = "text"
    LABELS = "labels"
    SPANS = "spans"
    LANGUAGE_MODEL = "language_model"
    INSTRUCTIONS = "instructions"
    CHATS = "chats"


# Of which a language model learns the next tokens.
NEXT_TOKENS = (Goal.LANGUAGE_MODEL, Goal.INSTRUCTIONS, Goal.CHATS)

Target = int | float | tuple[str, ...] | tuple[int, ...] | tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Example:
    """One labelled example.

    Args:
        fields: pairs of a field's label, as text-to-text models read it ("sentence1:"), and its text; for `Goal.TAGS`
            a pair for each word; for `Goal.CHATS` the texts are JSON.
        target: a class index, a number, the gold answers, of which any is correct, the class index of each word, the
            one text to write or the completion of a prompt, the indices of an example's labels, ascending, or the
            spans of the gold answers in the second field, each with its first character and the one after it; empty
            for whole texts and for chats that hold the answers too.
        group: name of the group that is scored together, such as all answers to one MultiRC question, or that stays in
            one split.
        candidates: answers to choose from; only for `Goal.ANSWER`.
        where: the row in words, such as "row 3 of train.jsonl", for errors that a tokenizer meets; may be empty.
        content: SHA-256 of the file that a field names, by which the example is known wherever it lies; empty where
            the fields say all.
    """

    fields: tuple[tuple[str, str], ...]
    target: Target
    group: str = ""
    candidates: tuple[str, ...] = ()
    where: str = field(default="", compare=False)
    content: str = ""

    @property
    def number(self) -> int | float:
        """The target as a class index or a number; only where it is one."""
        assert not isinstance(self.target, tuple)
        return self.target

    @property
    def answers(self) -> tuple[str, ...]:
        """The gold answers, or the text to write; only for `Goal.ANSWER`, `Goal.TEXT` and `NEXT_TOKENS`."""
        assert not isinstance(self.target, int | float)
        return tuple(map(str, self.target))

    @property
    def text(self) -> str:
        """The text to write; only for `Goal.TEXT` and `Goal.INSTRUCTIONS`."""
        (text,) = self.answers
        return text

    @property
    def words(self) -> tuple[str, ...]:
        """The words; only for `Goal.TAGS`."""
        return tuple(word for _, word in self.fields)

    @property
    def tags(self) -> tuple[int, ...]:
        """The class index of each word; only for `Goal.TAGS`."""
        return self._integers

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The characters of each gold answer in the second field; none without an answer; only for `Goal.SPANS`."""
        assert not isinstance(self.target, int | float)
        pairs: Any = self.target
        return tuple((start, end) for start, end in pairs)

    @property
    def label_indices(self) -> tuple[int, ...]:
        """The indices of its labels, ascending; only for `Goal.LABELS`."""
        return self._integers

    @property
    def _integers(self) -> tuple[int, ...]:
        found: Any = self.target
        assert isinstance(found, tuple)
        return tuple(map(int, found))


@dataclass(frozen=True)
class Task:
    """A data set, ready for a model.

    Args:
        name: such as "glue/rte", or the file's name for user data.
        goal: what is predicted.
        labels: names of the classes, or of the tags; text-to-text models learn `str(i)` for class i. Empty for other
            goals.
        selection_metric: the metric that chooses checkpoints and learning rates, on the validation split.
        reported_metric: the metric that results show first.
        splits: "train", "validation" and "test" -> the examples.
        split_rule: how the splits were made, in words.
        max_length: tokens kept of an example.
        source: the files or hub id that were read, and their numbers of rows.
        prefix: first words of the text-to-text source, such as "cola"; may be empty.
        other_metrics: further metrics to report.
        seed: of the splits.
        label_separator: between several labels in a text; empty where they came otherwise.
        span_rules: how answers are looked for in a context; None for other goals.
        task_format: that reads its rows; empty for the one of its goal.
    """

    name: str
    goal: Goal
    labels: tuple[str, ...]
    selection_metric: str
    reported_metric: str
    splits: Mapping[str, tuple[Example, ...]]
    split_rule: str
    max_length: int
    source: Mapping[str, object] = field(default_factory=dict)
    prefix: str = ""
    other_metrics: tuple[str, ...] = ()
    seed: int = 0
    label_separator: str = ""
    span_rules: SpanRules | None = None
    task_format: str = ""

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics of the task without repetition, the one that selects checkpoints first."""
        return tuple(dict.fromkeys((self.selection_metric, self.reported_metric, *self.other_metrics)))

    def split_record(self) -> dict[str, object]:
        """Describe the splits as JSON: rule, seed, source, sizes, and a SHA-256 of each split's examples in order."""
        return {
            "rule": self.split_rule,
            "seed": self.seed,
            "source": dict(self.source),
            "sizes": {name: len(examples) for name, examples in self.splits.items()},
            "sha256": {name: _fingerprint(examples) for name, examples in self.splits.items()},
        }


@dataclass(frozen=True)
class TaskRequest:
    """The data to load: a registered task or user data.

    Args:
        task: a registered task such as "glue/rte"; not together with `data`.
        data: "train.csv[,validation.csv[,test.csv]]" (csv, tsv, json, jsonl, parquet, conll; also .gz), a folder of
            pictures, or a Hugging Face hub id.
        text: comma-separated text columns of user data; by default those of the task format, such as "text".
        label: label column of user data; by default that of the task format, such as "label". Several columns,
            separated by commas, hold a 0 or a 1 for each of several labels.
        label_separator: what stands between several labels in a text, such as ";"; empty for lists and columns.
        context_overlap: tokens that two windows of a context share that is longer than the limit; 0 for a third of it.
        max_answer_length: tokens of the longest span of a context that is given as an answer.
        task_format: of user data, see `peftsearch list task_formats`; "auto" recognises it by the columns.
        metric: of user data, the metric that selects; further ones, after commas, are reported. By default accuracy
            for classes, Pearson's correlation for numbers, F1 of spans for tags, micro F1 for several labels, SQuAD's
            F1 for answers, and the loss for texts and next tokens.
        goal: whether the labels of user data are a "classification" or a "regression"; "auto" decides by how they are
            written.
        group: column of user data whose equal values stay on one side of drawn splits.
        drop_missing: leave out rows of user data without a text or a label.
        delimiter: of csv and tsv files; empty for a comma and a tab.
        encoding: of user data in text files.
        data_dir: folder with `NAME/{train,validation}.jsonl` for GLUE and SuperGLUE; without it they are downloaded.
        max_train_samples: training examples kept, chosen by the seed; 0 keeps all.
        max_eval_samples: validation and test examples kept of each, chosen by the seed; 0 keeps all.
        seed: of the splits and of the choice of training examples.
        is_encoder_decoder: whether the model that the data is for is one, which some task formats go by.
    """

    task: str | None = None
    data: str | None = None
    text: str | None = None
    label: str | None = None
    label_separator: str = ""
    context_overlap: int = 0
    max_answer_length: int = MAX_ANSWER_LENGTH
    task_format: str = "auto"
    metric: str = ""
    goal: str = "auto"
    group: str | None = None
    drop_missing: bool = False
    delimiter: str = ""
    encoding: str = UTF_8
    data_dir: str | None = None
    max_train_samples: int = 0
    max_eval_samples: int = 0
    seed: int = 0
    is_encoder_decoder: bool = False


def _fingerprint(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        row = [example.content or example.fields, example.target, example.group, example.candidates]
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
