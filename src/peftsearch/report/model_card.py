"""README.md of a result: the model card that the Hugging Face hub shows, with metadata that the hub reads."""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment

from peftsearch.modules.adapter_card import CARD, Origin, escape, make_card, save_card
from peftsearch.modules.peft_module import KINDS
from peftsearch.report.run.record import RunRecord
from peftsearch.report.verdict import verdict
from peftsearch.space import Configuration
from peftsearch.tasks.benchmark import HUB_NAMES

# Our metrics -> the hub's names; the others have none there.
_HUB_METRICS = {
    "accuracy": "accuracy",
    "f1": "f1",
    "macro_f1": "f1",
    "matthews_correlation": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "exact_match": "exact_match",
}
_NAMES = {"peft": "PEFT", "peftsearch": "peftsearch", "python": "Python", "torch": "PyTorch"}


@dataclass(frozen=True)
class Usage:
    """How a saved result is loaded.

    Args:
        packages: to be installed with pip.
        code: Python that leaves the model in `model`.
        library: the hub's name of the library that loads it.
        plain: Python that loads the same as a plain LoRA adapter, without our package; "" where there is none.
    """

    packages: str
    code: str
    library: str = "peft"
    plain: str = ""


# What stands for a folder that has no name elsewhere.
_HERE = "path/to/this/folder"


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
        usage: how what lies beside the card is loaded; exports load in other ways than the adapter.
    """
    origin = Origin(record.results.get("base_model"), _tags(record))
    data = ModelCardData(
        base_model=origin.base_model,
        library_name=usage.library,
        datasets=[name] if (name := dataset_id(record.results)) else None,
        pipeline_tag="text-classification" if record.results["saved"]["num_labels"] else None,
        # The hub tells adapters from fine-tuned models by the library.
        tags=origin.all_tags if usage.library == "peft" else list(origin.tags),
        metrics=sorted({result.metric_type for result in _eval_results(record.results)}),
        model_name=_title(record.results),
        eval_results=_eval_results(record.results),
    )
    return make_card(data, _body(record, origin, usage))


def usage_of(record: RunRecord, folder: Path, *, place: str = "") -> Usage:
    """How the result in a run's folder is loaded: our adapter, one of peft's own, or a whole model.

    Args:
        place: what stands for the folder in the code: a hub id, or a path if there is none.
    """
    saved = record.results["saved"]
    auto = "AutoModelForSequenceClassification" if saved["num_labels"] else "AutoModelForSeq2SeqLM"
    if not (folder / "adapter_config.json").is_file():
        here = _quoted(place or _HERE)
        code = f"from transformers import {auto}\n\nmodel = {auto}.from_pretrained({here})"
        return Usage("transformers", code, "transformers")
    peft_type = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"]
    is_ours = peft_type == "PEFTSEARCH"
    base = record.results.get("base_model") or f"path/to/{Path(saved['model']).name}"
    labels = f", num_labels={saved['num_labels']}" if saved["num_labels"] else ""
    lines = [
        "from peft import PeftModel",
        f"from transformers import {auto}",
        "",
        f"base = {auto}.from_pretrained({_base_arguments(base)}{labels})",
        "model = PeftModel.from_pretrained(base, ",
    ]
    code = "\n".join(lines)
    own = f"{code}{_quoted(place or _HERE)})"
    if not is_ours:
        return Usage("peft transformers", own)
    has_plain = (record.folder / "lora" / "adapter_config.json").is_file()
    plain = f'{_quoted(place)}, subfolder="lora"' if place else _quoted("path/to/the/run/lora")
    return Usage(
        "peftsearch",
        f"import peftsearch  # teaches peft the type of this adapter\n{own}",
        plain=f"{code}{plain})" if has_plain else "",
    )


def _base_arguments(base: str) -> str:
    path = Path(base)
    is_gguf = path.suffix == ".gguf"
    return f"{_quoted(str(path.parent))}, gguf_file={_quoted(path.name)}" if is_gguf else _quoted(base)


def _quoted(text: str) -> str:
    """A Python string; no text can end the block of code that it stands in, since line breaks are escaped."""
    return json.dumps(text)


def dataset_id(results: dict[str, Any]) -> str | None:
    """The hub id of a run's data; None for files of the user."""
    source = results["split"].get("source", {})
    suite = results["task"].partition("/")[0]
    return source.get("hub") or (HUB_NAMES.get(suite) if "files" in source else None)


def _tags(record: RunRecord) -> tuple[str, ...]:
    kinds = sorted(record.results["modules_by_kind"])
    return tuple(dict.fromkeys(("peftsearch", record.results["method"], *kinds)))


def _eval_results(results: dict[str, Any]) -> list[EvalResult]:
    """Means over seeds on the test split, in the hub's range: 1 is perfect."""
    name = dataset_id(results)
    return [
        EvalResult(
            task_type="text-classification",
            task_name="Text Classification",
            dataset_type=name or _slug(results["task"]),
            dataset_name=results["task"],
            dataset_config=results["split"].get("source", {}).get("configuration"),
            metric_type=_HUB_METRICS[metric],
            metric_name=f"test {metric}, mean of {results['seeds']}",
            metric_value=round(value / 100, 6),
        )
        for metric, value in sorted(results["test"]["all"].items())
        if metric in _HUB_METRICS
    ]


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-") or "data"


def _title(results: dict[str, Any]) -> str:
    return f"{_base_name(results)}, {results['method']} on {results['task']}"


def _base_name(results: dict[str, Any]) -> str:
    return results.get("base_model") or Path(results["model"]).name


def _body(record: RunRecord, origin: Origin, usage: Usage) -> str:
    results = record.results
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["text"] = escape
    template = files("peftsearch.report").joinpath("model_card.md.jinja").read_text(encoding="utf-8")
    text = environment.from_string(template).render(
        mark=origin.mark,
        title=_title(results),
        results=results,
        modules=results["modules"],
        base=_base_name(results),
        packages=usage.packages,
        loading=usage.code,
        plain=usage.plain,
        rows=_rows(results),
        places=Places.of(record.configuration),
        scored=_scored(results),
        score=_score,
        seeds=lambda score: ", ".join(f"{value:.2f}" for value in score["per_seed"]),
        # Equal runs write equal cards, and no two take the same time.
        verdict=verdict(results | {"search_cost": None}),
        fence=_fence(results["command"]),
        versions=[(_NAMES.get(name, name), version) for name, version in sorted(results["versions"].items())],
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _rows(results: dict[str, Any]) -> list[tuple[str, str]]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in results["modules_by_kind"].items())
    budget = results["budget"]
    share = results["parameters"] / results["backbone_parameters"]
    rows = [
        ("method", results["method"]),
        ("search space", results["space"]),
        ("search", f"{results['search_steps']:,} steps or trials; wall times are in results.json"),
        ("budget", budget and f"{budget['parameters']:,} parameters ({budget['requested']})"),
        ("parameters", f"{results['parameters']:,}: {share:.4%} of the backbone's {results['backbone_parameters']:,}"),
        ("task head", f"{results['head_parameters']:,} parameters"),
        ("modules", f"{results['modules']}: {kinds}" if kinds else None),
        ("learning rate", f"{results['learning_rate']:g}"),
    ]
    searched = ("search space", "search")
    return [(name, value) for name, value in rows if value and (results["space"] or name not in searched)]


@dataclass(frozen=True)
class PlaceRow:
    """A line of the map: the name of a layer and, for each role, what is there."""

    name: str
    cells: list[str]


@dataclass(frozen=True)
class Places:
    """The map of a configuration as a table of layers and roles that have modules."""

    roles: list[str]
    rows: list[PlaceRow]

    @classmethod
    def of(cls, configuration: Configuration) -> "Places":
        """Lay a configuration out, layers from the bottom; what stands outside of the layers comes last."""
        cells: dict[tuple[str, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for choice in configuration:
            stack, *layer, role = choice.site.split(".")
            key = (stack, int(layer[0])) if layer else (stack, _OUTSIDE)
            is_ranked = choice.kind in KINDS and KINDS[choice.kind].ranked
            cells[key][role].append(f"{choice.kind} {choice.rank}" if is_ranked else choice.kind)
        roles = sorted({role for row in cells.values() for role in row})
        rows = [PlaceRow(_layer_name(*key), [", ".join(cells[key][role]) for role in roles]) for key in sorted(cells)]
        return cls(roles, rows)


_OUTSIDE = 10**6


def _layer_name(stack: str, layer: int) -> str:
    return f"{stack}, outside of layers" if layer == _OUTSIDE else f"{stack} {layer}"


def _scored(results: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    baseline = results["baseline"]
    drawn = results.get("random_baseline")
    return [
        ("this", results),
        *([(f"uniform LoRA, {baseline['parameters']:,} parameters", baseline)] if baseline else []),
        *([(f"random configuration, {drawn['parameters']:,} parameters", drawn)] if drawn else []),
    ]


def _score(score: dict[str, Any]) -> str:
    return f"{score['value']:.2f}" + (f" ± {score['std']:.2f}" if score["std"] is not None else "")


def _fence(text: str) -> str:
    """A fence that the text cannot end."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)
