"""Compare a method with uniform LoRA on validation and on test: accuracy, loss, and loss at the best temperature.

What a method gains on validation, where it chooses, and not on test is what its choices owe to chance; what it gains
in loss alone and not at the temperature that suits each result is calibration. Reads the folders of comparisons of
classes (`peftsearch compare --output FOLDER`), predicts their validation and test files, and prints a row for each
pair of a task and a seed, and the means with half of their 95% interval. The temperature is fitted on the validation
file.

    python benchmarks/validation_gap.py runs/now/* --method race
"""

import argparse
import json
import math
from pathlib import Path
from statistics import fmean

import numpy
import yaml
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from peftsearch import predict
from peftsearch.report.interval import half_width

_MEASURES = ("accuracy", "loss", "scaled loss")


def log_probabilities(run: Path, file: str, label: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The log-probability of every class, (rows, classes), and the index of the true one, (rows,)."""
    rows = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    predicted = predict(run, rows, batch_size=64).rows
    classes = [name for name in predicted[0] if name.startswith("probability_")]
    found = numpy.array([[row[name] for name in classes] for row in predicted])
    true = [classes.index(f"probability_{row[label]}") for row in rows]
    return numpy.log(numpy.clip(found, 1e-9, 1)), numpy.array(true)


def losses(scores: numpy.ndarray, true: numpy.ndarray, temperature: float = 1.0) -> numpy.ndarray:
    """The loss of each row at a temperature."""
    return -log_softmax(scores / temperature, axis=1)[numpy.arange(len(true)), true]


def measure(run: Path) -> dict[str, float]:
    """The measures of a run on both splits."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    _, validation, test = config["data"].split(",")
    splits = {
        name: log_probabilities(run, file, config["label"])
        for name, file in (("validation", validation), ("test", test))
    }
    fit = minimize_scalar(
        lambda log: losses(*splits["validation"], math.exp(log)).mean(), bounds=(-2, 3), method="bounded"
    )
    temperature, found = math.exp(fit.x), {}
    for name, (scores, true) in splits.items():
        values = (
            100 * (scores.argmax(1) == true).mean(),
            losses(scores, true).mean(),
            losses(scores, true, temperature).mean(),
        )
        found |= {f"{name} {measure}": float(value) for measure, value in zip(_MEASURES, values)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="of comparisons")
    parser.add_argument("--method", default="race", help="that is compared with uniform LoRA")
    args = parser.parse_args()
    differences: list[dict[str, float]] = []
    for folder in args.folders:
        for run in sorted(folder.glob(f"*/{args.method}/seed-*")):
            other = run.parent.parent / "lora" / run.name
            if not all((each / "results.json").exists() for each in (run, other)):
                continue
            own, of_lora = measure(run), measure(other)
            differences.append({name: own[name] - of_lora[name] for name in own})
            shown = ", ".join(f"{name} {value:+.3f}" for name, value in differences[-1].items())
            print(f"{folder.name}, {run.name}: {shown}", flush=True)
    if len(differences) > 1:
        columns = {name: [each[name] for each in differences] for name in differences[0]}
        means = [f"{name} {fmean(column):+.4f} ± {half_width(column):.4f}" for name, column in columns.items()]
        print(f"mean of {len(differences)}: {', '.join(means)}")


if __name__ == "__main__":
    main()
