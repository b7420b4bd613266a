"""README.md of a result: the model card that the Hugging Face hub shows, with metadata that the hub reads."""

import re
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, Template

from peftsearch.modules.adapter_card import CARD, Origin, escape, make_card, save_card
from peftsearch.report.result_parts import HandBaseline, RandomBaseline, UniformBaseline
from peftsearch.report.results import Results
from peftsearch.report.run.error_section import describe_errors, tables_to_publish
from peftsearch.report.run.places import table_of_places
from peftsearch.report.run.record import RunRecord
from peftsearch.report.run.summary import size_rows
from peftsearch.report.run.usage import Usage, usage_of
from peftsearch.report.verdict import verdict
from peftsearch.report.wording import write_score
from peftsearch.task_head import CAUSAL_LM, PICTURE, SPANS, TOKENS
from peftsearch.tasks.benchmark import HUB_NAMES
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.tasks.task import Goal

# Our metrics -> the hub's names; the others have none there.
_HUB_METRICS = {
    "accuracy": "accuracy",
    "f1": "f1",
    "macro_f1": "f1",
    "matthews_correlation": "matthews_correlation",
    "roc_auc": "roc_auc",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "r2": "r_squared",
    "mae": "mae",
    "rmse": "rmse",
    "exact_match": "exact_match",
    "entity_f1": "f1",
    "entity_precision": "precision",
    "entity_recall": "recall",
    "token_accuracy": "accuracy",
    "perplexity": "perplexity",
    "next_token_accuracy": "accuracy",
    "exact_text": "exact_match",
    "final_number": "exact_match",
    "rouge_l": "rouge",
    "chrf": "chrf",
    "label_micro_f1": "f1",
    "label_macro_f1": "f1",
    "subset_accuracy": "accuracy",
    "span_exact_match": "exact_match",
    "span_f1": "f1",
}
_HUB_TASKS = {
    TOKENS: "token-classification",
    SPANS: "question-answering",
    CAUSAL_LM: "text-generation",
    PICTURE: "image-classification",
}
_NAMES = {"peft": "PEFT", "peftsearch": "peftsearch", "python": "Python", "torch": "PyTorch"}


def write_card(record: RunRecord, folder: Path) -> Path:
    """Write the card of a finished run into the folder of its result, over whatever card is there.

    Returns:
        the path of README.md; equal runs write equal bytes.
    """
    path = folder / CARD
    save_card(make_run_card(record, usage=usage_of(record, folder)), path)
    return path


def make_run_card(record: RunRecord, *, usage: Usage) -> ModelCard:
    """The card of a finished run.

    Args:
        record: of a finished run.
        usage: code that loads the files beside the card; exports load in other ways than the adapter.
    """
    results = record.finished.of_adapter
    origin, scores = Origin(results.base_model, _tags(results)), _eval_results(results)
    data = ModelCardData(
        base_model=origin.base_model,
        library_name=usage.library,
        datasets=[name] if (name := dataset_id(results)) else None,
        pipeline_tag=_hub_task(results) if _has_hub_task(results) else None,
        # The hub tells adapters from fine-tuned models by the library.
        tags=origin.all_tags if usage.library == "peft" else list(origin.tags),
        metrics=sorted({score.metric_type for score in scores}),
        model_name=_title(results),
        eval_results=scores,
    )
    return make_card(data, _body(record, origin, usage))


def dataset_id(results: Results) -> str | None:
    """The hub id of a run's data; None for files of the user."""
    source = results.split.source
    suite = results.task.partition("/")[0]
    return source.get("hub") or (HUB_NAMES.get(suite) if "files" in source else None)


def _tags(results: Results) -> tuple[str, ...]:
    return tuple(dict.fromkeys(("peftsearch", _slug(results.method), *sorted(results.modules_by_kind))))


def _eval_results(results: Results) -> list[EvalResult]:
    """Means over seeds on the test split, in the hub's range: 1 is perfect, or errors in the unit of the labels."""
    name = dataset_id(results)
    return [
        EvalResult(
            task_type=_hub_task(results),
            task_name=_hub_task(results).replace("-", " ").title(),
            dataset_type=name or _slug(results.task),
            dataset_name=results.task,
            dataset_config=results.split.source.get("configuration"),
            metric_type=_HUB_METRICS[metric],
            metric_name=f"test {metric}, mean of {results.seeds}",
            metric_value=round(value / 100, 6) if METRICS[metric].is_in_percent else value,
        )
        for metric, value in sorted(results.test.all.items())
        if metric in _HUB_METRICS
    ]


def _hub_task(results: Results) -> str:
    """The hub's name of the task, in its lists of models and of scores."""
    if results.reading and results.reading.goal == Goal.TEXT:
        return "text2text-generation"
    return _HUB_TASKS.get(results.saved.task_type, "text-classification")


def _has_hub_task(results: Results) -> bool:
    """Whether the hub has a name for what the model does: of models that write labels it knows none."""
    writes = results.reading is not None and results.reading.goal == Goal.TEXT
    return bool(results.saved.num_labels) or writes or results.saved.task_type == CAUSAL_LM


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-") or "data"


def _title(results: Results) -> str:
    return f"{_base_name(results)}, {results.method} on {results.task}"


def _base_name(results: Results) -> str:
    return results.base_model or Path(results.model).name


def _body(record: RunRecord, origin: Origin, usage: Usage) -> str:
    found = record.finished
    results, chosen = found.of_adapter, found.handed_over
    text = _template().render(
        mark=origin.mark,
        title=_title(results),
        results=results,
        base=_base_name(results),
        usage=usage,
        reads_words=results.saved.task_type == TOKENS,
        rows=_rows(results),
        places=table_of_places(record.handed_over),
        errors=tables_to_publish(record.errors) if record.errors else (),
        predicted=describe_errors(record.errors) if record.errors else "",
        scored=_scored(found),
        further=_further(results),
        unit=_unit(results.metric),
        # Equal runs write equal cards, and no two take the same time.
        verdict=verdict(replace(found, search_cost=None)),
        reason=chosen.reason if chosen else "",
        fence=_fence(results.command),
        versions=[(_NAMES.get(name, name), version) for name, version in sorted(results.versions.items())],
    )
    return re.sub(r"\n{3,}", "\n\n", text)


@cache
def _template() -> Template:
    """The template of cards; to compile it takes longer than to fill it in."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["text"] = escape
    environment.filters["score"] = lambda value, metric: write_score(metric, value)
    return environment.from_string(
        files("peftsearch.report").joinpath("model_card.md.jinja").read_text(encoding="utf-8")
    )


def _rows(results: Results) -> list[tuple[str, str]]:
    steps = f"{results.search_steps:,} steps or trials; wall times are in results.json"
    budget = results.budget
    return [
        ("method", results.method),
        *([("search space", results.space), ("search", steps)] if results.space else []),
        *([("budget", f"{budget.parameters:,} parameters ({budget.requested})")] if budget else []),
        *size_rows(results),
    ]


def _scored(found: Results) -> list[tuple[str, Results | UniformBaseline | HandBaseline | RandomBaseline]]:
    """What was trained, with a name; first the configuration whose adapter lies beside the card."""
    results = found.of_adapter
    searched = [(f"searched ({found.method})", found)] if results is not found else []
    by_hand = [(one.name, one) for one in found.hand_baselines if one.name != results.method]
    drawn = [("random configuration", found.random_baseline)] if found.random_baseline else []
    others = [*searched, *by_hand, *drawn]
    return [("this", results), *((f"{name}, {one.parameters:,} parameters", one) for name, one in others)]


def _further(results: Results) -> list[tuple[str, str]]:
    """The other metrics on the test split, means over seeds."""
    others = [name for name in results.test.all if name != results.metric]
    return [(_unit(name), write_score(name, results.test.all[name])) for name in others]


def _unit(metric: str) -> str:
    return f"{metric}, percent" if METRICS[metric].is_in_percent else f"{metric}, lower is better"


def _fence(text: str) -> str:
    """A fence that the text cannot end."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)
