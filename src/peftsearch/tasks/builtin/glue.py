"""The tasks of GLUE."""

from peftsearch.tasks.benchmark import Benchmark, register_benchmark
from peftsearch.tasks.task import Goal

_SENTENCE = (("sentence:", "sentence"),)
_SENTENCES = (("sentence1:", "sentence1"), ("sentence2:", "sentence2"))
_ENTAILMENT = ("entailment", "not_entailment")

for _benchmark in (
    Benchmark(
        "glue",
        "cola",
        "is the sentence acceptable English? (8.6k, Matthews correlation)",
        fields=_SENTENCE,
        labels=("unacceptable", "acceptable"),
        metrics=("matthews_correlation",),
    ),
    Benchmark(
        "glue",
        "sst2",
        "is the film review positive? (67k, accuracy)",
        fields=_SENTENCE,
        labels=("negative", "positive"),
        is_large=True,
    ),
    Benchmark(
        "glue",
        "mrpc",
        "do two news sentences say the same? (3.7k, F1)",
        fields=_SENTENCES,
        labels=("not_equivalent", "equivalent"),
        metrics=("f1", "accuracy"),
    ),
    Benchmark(
        "glue",
        "stsb",
        "how similar are two sentences, 0 to 5? (5.7k, Pearson correlation)",
        fields=_SENTENCES,
        goal=Goal.REGRESSION,
        metrics=("pearson", "spearman"),
    ),
    Benchmark(
        "glue",
        "qqp",
        "do two questions ask the same? (364k, F1)",
        fields=(("question1:", "question1"), ("question2:", "question2")),
        labels=("not_duplicate", "duplicate"),
        metrics=("f1", "accuracy"),
        is_large=True,
    ),
    # The colon after "hypothesis" is missing in the reference code too, with which T5 was evaluated.
    Benchmark(
        "glue",
        "mnli",
        "does the premise entail or contradict the hypothesis? (393k, accuracy)",
        fields=(("premise:", "premise"), ("hypothesis", "hypothesis")),
        labels=("entailment", "neutral", "contradiction"),
        is_large=True,
    ),
    Benchmark(
        "glue",
        "qnli",
        "does the sentence answer the question? (105k, accuracy)",
        fields=(("question:", "question"), ("sentence:", "sentence")),
        labels=_ENTAILMENT,
        is_large=True,
    ),
    Benchmark(
        "glue",
        "rte",
        "does the first text entail the second? (2.5k, accuracy)",
        fields=_SENTENCES,
        labels=_ENTAILMENT,
        max_length=256,
    ),
    Benchmark(
        "glue",
        "wnli",
        "does the sentence with its pronoun resolved follow? (635, accuracy)",
        fields=_SENTENCES,
        labels=("not_entailment", "entailment"),
    ),
):
    register_benchmark(_benchmark)
