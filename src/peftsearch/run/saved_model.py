"""Load the saved result of a run; the task's data is not needed."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from peftsearch.errors import RunFolderError
from peftsearch.models.head import TaskModel
from peftsearch.models.load import load_task_model
from peftsearch.models.loading import Loading
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.modules.saved_adapter import load_adapter
from peftsearch.report.result_parts import SavedResult
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.origin import choose_model
from peftsearch.run.recipe import ADAPTER, MODEL
from peftsearch.task_head import TaskHead


@dataclass(frozen=True)
class SavedModel(SavedResult):
    """A saved result that can be loaded; arguments as in `SavedResult`."""

    @classmethod
    def of(cls, experiment: Experiment, saved_as: str) -> "SavedModel":
        """Describe results of an experiment that lie in folders called `saved_as`."""
        head = experiment.task_format.head
        loading = experiment.loading
        return cls(
            experiment.model,
            head.num_labels,
            head.problem_type,
            saved_as,
            head.labels,
            head.task_type,
            dict(loading.quantization),
            loading.device_map,
        )

    @classmethod
    def read(cls, run: Path, *, model: str = "") -> "SavedModel":
        """Read from a finished run how its result is saved.

        Args:
            run: the run folder.
            model: the pretrained model, if it is not where the run says.

        Raises:
            RunFolderError: if the folder is not a finished run, or of another version.
            ModelError: if the model is not where the run says, and none is given.
        """
        document = read_json(run / "results.json")
        try:
            saved = cls(**document["saved"])
            saved = replace(saved, labels=tuple(saved.labels))
        except (KeyError, TypeError) as error:
            raise RunFolderError(
                f"'{run / 'results.json'}' does not say how to load the result ({error}); another version wrote it. "
                "Run it again."
            ) from error
        if saved.saved_as not in (ADAPTER, MODEL):
            raise RunFolderError(f"'{run / 'results.json'}' names '{saved.saved_as}', but results are in {ADAPTER}/.")
        return replace(saved, model=choose_model(run, noted=saved.model, given=model))

    @property
    def head(self) -> TaskHead:
        """The task head that the result was trained with."""
        if not self.task_type:
            return TaskHead.of_labels(self.num_labels, self.problem_type, self.labels)
        return TaskHead(self.task_type, self.num_labels, self.problem_type, tuple(self.labels))

    @property
    def in_full(self) -> "SavedModel":
        """The same result on the pretrained model as it is on disk, for exports."""
        return replace(self, quantization={}, device_map="")

    def load_base(self) -> PreTrainedModel:
        """Load a new copy of the pretrained model, with an untrained task head."""
        return self._load().model

    def load(self, folder: Path) -> tuple[nn.Module, int]:
        """Load the result in a folder onto a new copy of the pretrained model.

        Args:
            folder: of a run or of one training.

        Returns:
            the model, and its trained parameters without the task head.

        Raises:
            RunFolderError: if the folder has no result, or one that cannot be read.
            ModelError: if the pretrained model cannot be loaded, or is not the one that was trained.
        """
        weights = folder / self.saved_as
        if not weights.is_dir():
            raise RunFolderError(f"'{weights}' does not exist. Is '{folder}' a finished run?")
        if self.saved_as == MODEL:
            loaded = self._load(weights)
            return loaded.model, loaded.backbone_parameters
        model = load_adapter(self.load_base(), weights, name=self.model)
        return model, count_peft_parameters(model)

    def _load(self, weights: Path | None = None) -> TaskModel:
        loading = Loading(self.quantization, self.device_map)
        return load_task_model(self.model, self.head, weights=weights, loading=loading)
