"""What each of two processes does that torchrun starts; the tests do the same in one process and compare.

`torchrun --nproc_per_node 2 one_of_a_pair.py FOLDER`, where FOLDER has a model, and data named in `data.txt`.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from torch.utils.data import Dataset

import peftsearch
from peftsearch import SearchTrainer, processes, random_draws
from peftsearch.environment import count_launched
from peftsearch.errors import PeftSearchError
from peftsearch.run.config import RunConfig
from peftsearch.run.make_config import make_config
from peftsearch.run.pipeline import open_experiment
from peftsearch.run.search import search_configuration
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.several_processes import shared_by_processes
from peftsearch.testing.small_runs import small_run
from peftsearch.testing.tiny_models import CONFIGS

METHODS = {
    "bipeft": {"name": "bipeft", "max_triggers": 3, "warmup": 0.3, "weight_warmup": 1, "window": 1},
    "s3delta": {"name": "s3delta"},
    "s3delta-first": {"name": "s3delta", "order": "first"},
    "prunepeft": {"name": "prunepeft"},
    "pursuit": {"name": "pursuit", "stages": 2, "between": 3},
    "random": {"name": "random", "trials": 2},
    "race": {"name": "race", "recipes": "uniform_lora,bitfit", "draws": 1, "rates": 2, "cost": 4},
}
# Where a method does not search its own. A bias of the keys, which `s2` has, adds the same to all logits of a query:
# its score is zero but for rounding, which decides whether it stands before or after what was not sampled.
SPACES = {"bipeft": "mixed"}
BATCH = 8
# 45 examples: the last batch has five, which two processes share as two and three.
ROWS = 45


def without_dropout(model: Path) -> Path:
    """Change a saved model, since each process draws its own dropout."""
    config = json.loads((model / "config.json").read_text())
    config |= {name: 0.0 for name in config if "dropout" in name and isinstance(config[name], float)}
    (model / "config.json").write_text(json.dumps(config))
    return model


def config_of(folder: Path, place: Path, **changes) -> RunConfig:
    """Settings of a small run whose batch is that of all processes together."""
    data = (folder / "data.txt").read_text()
    given = dict(small_run(model=folder / "model", reviews=data, output=place, max_train_samples=ROWS) | changes)
    return make_config(
        given | {"training": given["training"] | {"per_device_train_batch_size": BATCH // count_launched()}}
    )


def search(name: str, folder: Path, place: Path) -> None:
    """Search alone, without the trainings after it; `name` is one of `METHODS`."""
    config = config_of(folder, place, method=METHODS[name], space=SPACES.get(name, ""))
    with shared_by_processes(config) as own:
        request = SearchRequest(own.method_name, own.method)
        search_configuration(open_experiment(own), request, Path(own.output_folder))


def train(config: RunConfig) -> None:
    """Train LoRA with a rate that is found."""
    peftsearch.run.pipeline.run_train(config)


class Parity(Dataset):
    """Sequences whose first token says the label."""

    ids = torch.randint(6, 200, (32, 6), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.ids)

    def __getitem__(self, i: int) -> dict:
        """Get a row."""
        return {"input_ids": self.ids[i], "labels": self.ids[i, 0] % 2}


def drawn_model() -> transformers.PreTrainedModel:
    """A model with the same weights in every process, but for its head."""
    config = CONFIGS["bert"]()
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    torch.nn.init.normal_(model.classifier.weight, std=0.02 * (1 + int(os.environ.get("RANK", "0"))))
    return model


def search_in_trainer(
    method: str, place: Path, *, make_model: Callable[[], transformers.PreTrainedModel] = drawn_model
) -> SearchTrainer:
    """Search in a Trainer of the user's, and train.

    Args:
        method: a name of `METHODS`.
        place: folder of the Trainer.
        make_model: called when the processes have joined.
    """
    size = BATCH // count_launched()
    arguments = transformers.TrainingArguments(
        str(place), per_device_train_batch_size=size, num_train_epochs=2, learning_rate=3e-3, use_cpu=True,
        report_to="none", disable_tqdm=True, save_strategy="no",
        # Else transformers multiplies the loss of a classification by the processes.
        average_tokens_across_devices=False,
    )  # fmt: skip
    model = make_model()
    given = {"budget": 600, "method": METHODS[method], "space": SPACES.get(method, "")}
    trainer = SearchTrainer(model=model, args=arguments, train_dataset=Parity(), eval_dataset=Parity(), **given)
    trainer.train()
    return trainer


def talk() -> dict:
    """What the functions of `peftsearch.processes` give this process."""
    found: dict = {}
    with processes.joined(60):
        number = processes.index()
        sums, means, shared = (torch.full((2,), 1.0 + number) for _ in range(3))
        counts = torch.tensor([number + 1])
        processes.add_up([sums, counts])
        processes.average([means])
        processes.share([shared])
        random_draws.draw_alike()
        alike = torch.rand(1)
        random_draws.draw_apart()
        found |= {"number": number, "sums": sums.tolist(), "counts": counts.tolist(), "means": means.tolist()}
        found |= {"shared": shared.tolist(), "alike": alike.tolist(), "apart": torch.rand(1).tolist()}
        found |= {"slices": [processes.own_slice(list(range(count))) for count in (0, 1, 5)]}
        found |= {"total": processes.total(number + 3), "largest": processes.largest(number)}
        found |= {"from_first": processes.from_first(lambda: {"from": number}, "test")}
        found |= {"gathered": processes.gather([(number, "a")] * (number + 1))}
        processes.require_equal("equal things", ["a", 1])
        try:
            processes.require_equal("other things", number)
        except PeftSearchError as error:
            found["refused"] = str(error)
        processes.wait_for_all("end the test")
    return found


def main(folder: Path) -> None:
    """Do all of it, each in a folder of its own."""
    for name in ("said", *METHODS, "trained", "in_trainer"):
        place = folder / f"of-{count_launched()}" / name
        if name == "said":
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{os.environ['RANK']}.json").write_text(json.dumps(talk()))
        elif name == "trained":
            train(config_of(folder, place, configuration="lora", method={}))
        elif name == "in_trainer":
            for method in ("bipeft", "pursuit"):
                search_in_trainer(method, place / method)
        else:
            search(name, folder, place)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main(Path(sys.argv[1]))
