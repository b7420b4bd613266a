"""Python code that loads a saved result, for the model card."""

import json
from dataclasses import dataclass
from pathlib import Path

from peftsearch.report.results import Results
from peftsearch.report.run.record import RunRecord
from peftsearch.task_head import CAUSAL_LM, PICTURE, SEVERAL, SPANS, TOKENS

# What stands for a folder that has no name elsewhere.
_HERE = "path/to/this/folder"
_AUTO_CLASSES = {
    TOKENS: "AutoModelForTokenClassification",
    SPANS: "AutoModelForQuestionAnswering",
    CAUSAL_LM: "AutoModelForCausalLM",
    PICTURE: "AutoModelForImageClassification",
}


@dataclass(frozen=True)
class Usage:
    """Packages and code that load a saved result.

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


def usage_of(record: RunRecord, folder: Path, *, place: str = "") -> Usage:
    """Write the code that loads the result of a run: our adapter, one of peft's own, or a whole model.

    Args:
        record: of a finished run.
        folder: of the saved result.
        place: what stands for the folder in the code: a hub id, or a path if there is none.
    """
    results = record.finished
    here = _quoted(place or _HERE)
    if not (folder / "adapter_config.json").is_file():
        auto = _auto_class(results)
        code = f"from transformers import {auto}\n\nmodel = {auto}.from_pretrained({here})"
        return Usage("transformers", code, "transformers")
    adapter = _adapter_code(results, here)
    peft_type = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"]
    if peft_type != "PEFTSEARCH":
        return Usage("peft transformers", adapter)
    has_plain = (record.folder / "lora" / "adapter_config.json").is_file()
    plain = f'{_quoted(place)}, subfolder="lora"' if place else _quoted("path/to/the/run/lora")
    return Usage(
        "peftsearch",
        f"import peftsearch  # teaches peft the type of this adapter\n{adapter}",
        plain=_adapter_code(results, plain) if has_plain else "",
    )


def _auto_class(results: Results) -> str:
    saved = results.saved
    if saved.task_type in _AUTO_CLASSES:
        return _AUTO_CLASSES[saved.task_type]
    return "AutoModelForSequenceClassification" if saved.num_labels else "AutoModelForSeq2SeqLM"


def _adapter_code(results: Results, adapter: str) -> str:
    """Load the pretrained model and put the adapter on it; `adapter` is what peft is given, as Python."""
    saved, auto = results.saved, _auto_class(results)
    base = results.base_model or f"path/to/{Path(saved.model).name}"
    labels = f", num_labels={saved.num_labels}" if saved.num_labels else ""
    labels += f", problem_type={_quoted(SEVERAL)}" if saved.problem_type == SEVERAL else ""
    # Models of pictures bring a head for other classes along, of another size.
    labels += ", ignore_mismatched_sizes=True" if saved.task_type == PICTURE else ""
    return "\n".join(
        [
            "from peft import PeftModel",
            f"from transformers import {auto}",
            "",
            f"base = {auto}.from_pretrained({_base_arguments(base)}{labels})",
            f"model = PeftModel.from_pretrained(base, {adapter})",
        ]
    )


def _base_arguments(base: str) -> str:
    path = Path(base)
    is_gguf = path.suffix == ".gguf"
    return f"{_quoted(str(path.parent))}, gguf_file={_quoted(path.name)}" if is_gguf else _quoted(base)


def _quoted(text: str) -> str:
    """A Python string; no text can end the block of code that it stands in, since line breaks are escaped."""
    return json.dumps(text)
