"""Search with a method that adds modules in stages by the gradients of what could be added.

Each stage is kept in `search/stages/N/` of the run folder, so that a search that was stopped goes on at the next one.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import PartialState
from peft import PeftModel

from peftsearch import processes
from peftsearch.files import new_folder, write_json
from peftsearch.modules.saved_adapter import save_adapter
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import SearchResult, start_folder
from peftsearch.run.supernets import copy_head, head_of
from peftsearch.searches.growing import draw_parts, put_weights, read_weights, require_modules, supernet_of
from peftsearch.searches.growth import Grower, Grown, Stage
from peftsearch.space import Configuration
from peftsearch.training import stop_signals
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.mean_gradients import MeanGradients, without_dropout
from peftsearch.training.task_loss import TaskLoss
from peftsearch.training.trainer import TaskTrainer

# In a stage's folder: an adapter of what was added, one of what its training made of it, and, written last, a record.
_ADDED, _TRAINED, _RECORD = "added", "adapter", "stage.json"


def search_by_growth(experiment: Experiment, request: SearchRequest, folder: Path) -> SearchResult:
    """Add modules stage by stage, with a short training after each but the last.

    The modules are also saved as their training starts: with all that the stages trained if `request.inherit`, else as
    they were added, without effect. Arguments and result are those of `search_configuration`.
    """
    started = time.perf_counter()
    budgets = sorted(set(experiment.usable_budgets().values()))
    grower: Grower = request.load()(experiment.space, budgets=budgets, settings=request.settings, seed=experiment.seed)
    growth = _Growth(experiment, grower, folder / "search" / "stages")
    stages = grower.stages()
    for number, stage in enumerate(stages):
        if not (growth.folder_of(number) / _RECORD).exists():
            growth.run(number, stage)
        Checkpoints(growth.folder_of(number) / "training").discard()
        stop_signals.stop_if_asked()
    results = {}
    for number, stage in enumerate(stages):
        if stage.budget in budgets:
            results[stage.budget] = growth.configuration_of(number)
            with new_folder(folder / start_folder(stage.budget, smallest=budgets[0])) as new:
                save_adapter(growth.start(number, inherit=request.inherit), new)
    records = [read_json(growth.folder_of(number) / _RECORD) for number in range(len(stages))]
    # Stages of an interrupted search count with the time that they took then.
    seconds = max(time.perf_counter() - started, sum(record["seconds"] for record in records))
    return SearchResult(results, sum(stage.steps for stage in stages), seconds)


@dataclass(frozen=True)
class _Growth:
    """The stages of a search.

    Args:
        experiment: gives model and data.
        grower: the method.
        folder: holds one folder for each stage.
    """

    experiment: Experiment
    grower: Grower
    folder: Path

    def folder_of(self, number: int) -> Path:
        return self.folder / str(number)

    def configuration_of(self, number: int) -> Configuration:
        return Configuration.load(self.folder_of(number) / "configuration.json")

    def run(self, number: int, stage: Stage) -> None:
        """Add modules to those of the stage before and train them, and write the result and, last, the record.

        What was added is written before its training, so that a search that was stopped in it measures nothing again.
        """
        started = time.perf_counter()
        place = self.folder_of(number)
        if not (place / _ADDED).exists():
            model = self._grow(number, stage)
            with new_folder(place / _ADDED) as new:
                save_adapter(model, new)
        else:
            model = self._with_weights(*self._read(number, _ADDED))
        if stage.steps:
            self._train(model, number, stage)
        with new_folder(place / _TRAINED) as new:
            save_adapter(model, new)
        seconds = time.perf_counter() - started
        write_json(place / _RECORD, {"budget": stage.budget, "steps": stage.steps, "seconds": seconds})

    def _grow(self, number: int, stage: Stage) -> PeftModel:
        """Add modules to those of the stage before, and write the configuration.

        Raises:
            NothingFoundError: if no module is worth its parameters.
        """
        held, head = self._read(number - 1, _TRAINED) if number else (Grown(), {})
        candidates = self.grower.candidates(held.configuration)
        model = self._attach(candidates, head)
        supernet = supernet_of(model, candidates, self.experiment.sites)
        grown = self.grower.grow(supernet, held, self._gradients(model), budget=stage.budget)
        require_modules(grown)
        processes.require_equal(f"the modules of stage {number + 1}", grown.configuration.to_json())
        grown.configuration.save(self.folder_of(number) / "configuration.json")
        del model, supernet
        return self._with_weights(grown, head)

    def start(self, number: int, *, inherit: bool) -> PeftModel:
        """The model with which the training of a stage's configuration starts."""
        grown, head = self._read(number, _TRAINED)
        if inherit:
            return self._with_weights(grown, head)
        return self._with_weights(self.grower.restart(grown), {})

    def _read(self, number: int, adapter: str) -> tuple[Grown, Mapping[str, torch.Tensor]]:
        """The modules of a stage with their weights in an adapter, and the task head by its names in peft's model."""
        configuration, place = self.configuration_of(number), self.folder_of(number) / adapter
        model = PeftModel.from_pretrained(self.experiment.load_model(self.experiment.seed).model, str(place))
        return read_weights(model, configuration, self.experiment.sites), head_of(model)

    def _attach(self, configuration: Configuration, head: Mapping[str, torch.Tensor]) -> PeftModel:
        """Newly drawn modules on the pretrained model, with a task head; without one, that of every training."""
        experiment = self.experiment
        loaded = experiment.load_model(experiment.seed) if head else experiment.start_model(experiment.seed)
        model = experiment.attach(loaded, configuration).to(PartialState().device)
        copy_head(head, model)
        return model

    def _with_weights(self, grown: Grown, head: Mapping[str, torch.Tensor]) -> PeftModel:
        model = self._attach(grown.configuration, head)
        put_weights(model, grown, self.experiment.sites)
        return model

    def _gradients(self, model: PeftModel) -> tuple[MeanGradients, MeanGradients]:
        """Gradients over the examples of each pass, which are the same in every stage."""
        experiment = self.experiment
        encoded, settings = experiment.splits.train.encoded, experiment.search_training
        without_dropout(model, gradient_checkpointing=settings.gradient_checkpointing)
        loss = TaskLoss(model, experiment.task_format, encoded, settings)
        first, second = draw_parts(len(encoded), self.grower.num_examples, experiment.seed)
        return MeanGradients(loss, first), MeanGradients(loss, second)

    def _train(self, model: PeftModel, number: int, stage: Stage) -> None:
        experiment = self.experiment
        TaskTrainer(
            model,
            task_format=experiment.task_format,
            train=experiment.splits.train.encoded,
            settings=replace(experiment.search_training, report_to="none"),
            phase=Phase(f"stage {number + 1}", self.folder_of(number) / "training", experiment.seed, stage.steps),
        ).resume()
