"""The tasks of SuperGLUE."""

import re

from peftsearch.tasks.benchmark import Benchmark, register_benchmark
from peftsearch.tasks.tables import Row
from peftsearch.tasks.task import Goal

_NO_YES = ("no", "yes")
_MAX_LENGTH = 256


def remove_markup(text: str) -> str:
    """Replace `<br>` by a space and drop `<b>` and `</b>`."""
    return re.sub(r"</?b>", "", text.replace("<br>", " "))


def prepare_multirc(row: Row) -> Row:
    """Remove markup, and put the answers to one question into one group."""
    texts = {column: remove_markup(str(row[column])) for column in ("question", "answer", "paragraph")}
    index = row["idx"]
    group = f"{index['paragraph']}-{index['question']}" if isinstance(index, dict) else texts["question"]
    return {**row, **texts, "group": group}


def prepare_record(row: Row) -> Row:
    """Join the highlights to the passage as sentences, and list the entities.

    A highlight is joined by a space after closing punctuation, otherwise by ". ".

    Source: T5's text form of ReCoRD.
    """
    passage = re.sub(r"([.?!\"'])\n@highlight\n", r"\1 ", str(row["passage"]))
    passage = passage.replace("\n@highlight\n", ". ")
    entities = tuple(dict.fromkeys(str(entity) for entity in row["entities"]))
    return {**row, "passage": passage, "entities": ", ".join(entities), "candidates": entities}


def prepare_wsc(row: Row) -> Row:
    """Mark the noun with `*` and the pronoun with `#`.

    Case is ignored when a span is searched, since the data has spans in another case than the text.

    Source: T5's text form of WSC.
    """
    text = str(row["text"])
    spans = [
        (*_find_span(text, str(row[f"span{n}_text"]), int(row[f"span{n}_index"])), m) for n, m in ((1, "*"), (2, "#"))
    ]
    for start, end, mark in sorted(spans, reverse=True):
        text = f"{text[:start]}{mark} {text[start:end]} {mark}{text[end:]}"
    return {**row, "text": text}


def _find_span(text: str, span: str, word_index: int) -> tuple[int, int]:
    """Find start and end of `span` from the given word on; those of the word itself if the span is not found."""
    words = list(re.finditer(r"\S+", text))
    word = words[min(word_index, len(words) - 1)]
    pattern = r"\s+".join(re.escape(part) for part in span.split())
    match = re.compile(rf"(?<!\w){pattern}(?!\w)", re.IGNORECASE).search(text, word.start())
    return match.span() if match else word.span()


for _benchmark in (
    Benchmark(
        "superglue",
        "boolq",
        "does the passage answer the question with yes? (9.4k, accuracy)",
        prefix="superglue-boolq",
        fields=(("question:", "question"), ("passage:", "passage")),
        labels=_NO_YES,
        max_length=_MAX_LENGTH,
    ),
    Benchmark(
        "superglue",
        "cb",
        "does the speaker commit to the hypothesis? (250, macro F1 and accuracy)",
        prefix="superglue-cb",
        fields=(("premise:", "premise"), ("hypothesis:", "hypothesis")),
        labels=("entailment", "contradiction", "neutral"),
        metrics=("macro_f1", "accuracy"),
        reported="accuracy",
        max_length=_MAX_LENGTH,
    ),
    # As in the reference code, the text form does not tell whether cause or effect is asked for.
    Benchmark(
        "superglue",
        "copa",
        "which choice is the cause or effect? (400, accuracy)",
        prefix="superglue-copa",
        fields=(("premise:", "premise"), ("choice1:", "choice1"), ("choice2:", "choice2")),
        labels=("choice1", "choice2"),
        max_length=_MAX_LENGTH,
    ),
    Benchmark(
        "superglue",
        "multirc",
        "is the answer to the question about the paragraph right? (27k answers, F1)",
        prefix="superglue-multirc",
        fields=(("question:", "question"), ("answer:", "answer"), ("paragraph:", "paragraph")),
        labels=("wrong", "right"),
        metrics=("f1", "question_exact_match"),
        max_length=_MAX_LENGTH,
        prepare=prepare_multirc,
        needs=("question", "answer", "paragraph", "idx"),
    ),
    Benchmark(
        "superglue",
        "record",
        "which entity fills the gap in the query? (101k queries, token F1)",
        prefix="record",
        fields=(("query:", "query"), ("entities:", "entities"), ("passage:", "passage")),
        goal=Goal.ANSWER,
        metrics=("exact_match", "token_f1"),
        reported="token_f1",
        max_length=512,
        is_large=True,
        label="answers",
        prepare=prepare_record,
        needs=("query", "entities", "passage"),
    ),
    Benchmark(
        "superglue",
        "rte",
        "does the premise entail the hypothesis? (2.5k, accuracy)",
        prefix="superglue-rte",
        fields=(("premise:", "premise"), ("hypothesis:", "hypothesis")),
        labels=("entailment", "not_entailment"),
        max_length=_MAX_LENGTH,
        folder="superglue_rte",
    ),
    Benchmark(
        "superglue",
        "wic",
        "does the word mean the same in both sentences? (5.4k, accuracy)",
        prefix="superglue-wic",
        fields=(("sentence1:", "sentence1"), ("sentence2:", "sentence2"), ("word:", "word")),
        labels=("different", "same"),
        max_length=_MAX_LENGTH,
    ),
    Benchmark(
        "superglue",
        "wsc",
        "does the marked pronoun mean the marked noun? (554, accuracy)",
        prefix="superglue-wsc.fixed",
        fields=(("text:", "text"),),
        labels=_NO_YES,
        max_length=_MAX_LENGTH,
        prepare=prepare_wsc,
        needs=("text", "span1_text", "span1_index", "span2_text", "span2_index"),
    ),
):
    register_benchmark(_benchmark)
