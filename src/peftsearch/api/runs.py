"""The commands as Python functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from peftsearch.comparison.comparison import run_compare
from peftsearch.comparison.config import make_compare_config
from peftsearch.exports.writing import Export
from peftsearch.report.comparison.table import Comparison
from peftsearch.run.export import run_export
from peftsearch.run.folder import read_json
from peftsearch.run.make_config import make_config
from peftsearch.run.origin import Places
from peftsearch.run.pipeline import load_run, run_evaluate, run_search, run_train
from peftsearch.run.plan import Plan, plan
from peftsearch.run.predict import PredictionRequest, Predictions, run_predict
from peftsearch.space import Configuration

__all__ = [
    "Comparison",
    "Export",
    "Plan",
    "Predictions",
    "Result",
    "compare",
    "evaluate",
    "export",
    "load",
    "plan",
    "predict",
    "search",
    "train",
]


@dataclass(frozen=True)
class Result:
    """A finished run.

    Args:
        folder: the run folder.
        configuration: found or trained.
        metrics: the content of `results.json`; see docs/run_folder.md.

    Example:
        result = search(model="demo", task="demo", budget="0.1%", output="runs/demo")
        print(result.metrics["test"])
    """

    folder: Path
    configuration: Configuration
    metrics: dict[str, Any]

    @property
    def model(self) -> nn.Module:
        """The trained model, loaded anew: peft's `PeftModel`, or a plain model after full fine-tuning."""
        return load(self.folder)


def search(**settings: Any) -> Result:
    """Search a configuration within a budget, train it, prove it and save it.

    Args:
        settings: those of `peftsearch search --help`; `method` and `training` are mappings, or `method` a name.

    Raises:
        PeftSearchError: for the first thing that is wrong with settings, data, model or folder.

    Example:
        result = search(model="demo", task="demo", budget="0.1%", output="runs/demo")
    """
    return _result(run_search(make_config(settings)))


def train(**settings: Any) -> Result:
    """Train a configuration from a file or a run, or a manual one by name.

    Args:
        settings: those of `peftsearch train --help`; `configuration` is a path or a manual method's name.

    Raises:
        PeftSearchError: as in `search`.

    Example:
        result = train(model="demo", task="demo", configuration="lora", budget="0.1%", output="runs/lora")
    """
    return _result(run_train(make_config(settings)))


def compare(**settings: Any) -> Comparison:
    """Compare methods on several tasks within one budget, each against uniform LoRA.

    Args:
        settings: those of `peftsearch compare --help`. `methods` may map names to settings, and `tasks` may hold
            mappings with the keys of a task's YAML file.

    Returns:
        the comparison; runs that failed are in it, with their reasons.

    Raises:
        PeftSearchError: for the first thing that is wrong with settings, data, model or folder.

    Example:
        found = compare(model="demo", methods="bipeft,bitfit", tasks="demo", budget="0.1%", output="runs/compare")
        best = found.rows[0]
    """
    return run_compare(make_compare_config(settings))


def evaluate(
    run: str | Path, *, split: str = "test", model: str = "", data: str = "", data_dir: str = ""
) -> dict[str, float]:
    """Score the saved result of a run.

    Args:
        run: the run folder.
        split: "train", "validation" or "test".
        model: the pretrained model, if it is no longer where the run says.
        data: the data files, likewise.
        data_dir: the folder of GLUE and SuperGLUE, likewise.

    Returns:
        metric -> score, in percent or in the unit of the labels.

    Raises:
        RunFolderError: if the folder is not a finished run.

    Example:
        evaluate("runs/demo", split="validation")["accuracy"]
    """
    return run_evaluate(Path(run), split, Places(model, data, data_dir))


def predict(  # noqa: PLR0913  the flags of the command
    run: str | Path,
    data: str | Path | Sequence[Mapping[str, Any]],
    *,
    text: str = "",
    batch_size: int = 0,
    model: str = "",
    max_new_tokens: int = 0,
    delimiter: str = "",
    encoding: str = "",
) -> Predictions:
    """Answer rows with the result that a run hands over, on a GPU if there is one.

    Args:
        run: the run folder.
        data: a csv, tsv, json, jsonl, parquet or conll file, a folder of pictures, or rows as mappings; labels are
            not needed.
        text: comma-separated text columns, if they are called otherwise than in training.
        batch_size: rows of a pass; 0 takes the run's own.
        model: the pretrained model, if it is no longer where the run says.
        max_new_tokens: of a text that the model writes; 0 takes the run's own.
        delimiter: of a csv, tsv or conll file; empty for that of the run's data where the file has any.
        encoding: of a text file; empty for UTF-8 where it is that, else that of the run's data.

    Returns:
        the answers, in the order of the rows; see `Predictions` for their columns.

    Raises:
        PeftSearchError: for a folder that is no finished run, or rows without the texts.

    Example:
        found = predict("runs/mine", [{"review": "what a lovely film"}])
        print([row["prediction"] for row in found.rows])
        found.write("predictions.csv")
    """
    rows = Path(data) if isinstance(data, str) else data
    return run_predict(
        PredictionRequest(Path(run), rows, text, batch_size, model, max_new_tokens, delimiter, encoding)
    )


def load(run: str | Path, *, model: str = "") -> nn.Module:
    """Load the trained model of a run on a new copy of its pretrained model.

    Args:
        run: the run folder.
        model: the pretrained model, if it is no longer where the run says.

    Returns:
        peft's `PeftModel`, or a plain model after full fine-tuning; in evaluation mode, on the CPU.

    Raises:
        RunFolderError: if the folder is not a finished run.

    Example:
        model = load("runs/demo")
    """
    return load_run(Path(run), model)


def export(run: str | Path, *, format: str, output: str | Path, model: str = "", overwrite: bool = False) -> Export:
    """Write a run's result, or an adapter, in a format that other tools load; see `peftsearch list exports`.

    Args:
        run: a run folder, or the folder of an adapter.
        format: such as "lora" or "merged".
        output: folder to write.
        model: the pretrained model, if it is no longer where the run or the adapter says.
        overwrite: replace an earlier export in `output`.

    Raises:
        ExportError: with the reasons where the export would not be exact, or if `output` is taken.

    Example:
        export("runs/demo", format="lora", output="lora")
    """
    return run_export(Path(run), format=format, output=Path(output), model=model, overwrite=overwrite)


def _result(folder: Path) -> Result:
    return Result(folder, Configuration.load(folder / "configuration.json"), read_json(folder / "results.json"))
