"""One training of a recipe: attached, trained and saved, and started again once where it does not start."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

from peftsearch.files import new_folder, write_json
from peftsearch.modules.adapter_config import write_provenance
from peftsearch.report.document import read_as
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.recipe import Attached, Recipe
from peftsearch.training import stop_signals
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.fine_tuning import FineTuning, TrainingResult
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.start_check import DidNotStart, FailedStart, StartCheck, beats_guessing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """A training of a recipe with a seed and a rate.

    Args:
        experiment: gives data and model.
        recipe: is trained.
        folder: for its log, its checkpoints, its result and `trained.json`.
        seed: of the head, the modules and the batches.
        rate: learning rate of LoRA.
        budget: is noted in the result; None without one.
    """

    experiment: Experiment
    recipe: Recipe
    folder: Path
    seed: int
    rate: float
    budget: int | None

    def run(self) -> TrainingResult:
        """Train to the end and save the result, from the last checkpoint if there is one; read it if that is done.

        A training that is no better than guessing after a fifth of its steps starts again once, at another rate.
        """
        record = self.folder / "trained.json"
        if not record.exists():
            write_json(record, self._train_and_save().to_dict())
        # Also those that a kill right after the record has left.
        self.discard_checkpoints()
        stop_signals.stop_if_asked()
        return TrainingResult.from_dict(read_json(record))

    def run_until(self, step: int) -> float:
        """Train up to a step of the whole schedule, from where `run` goes on.

        Returns:
            the mean loss on the validation split at that step.

        Raises:
            TrainingError: if the loss stops being a number.
        """
        attached = self._attach()
        settings = replace(self.experiment.training, learning_rate=self.rate, report_to="none")
        name = f"{self.recipe.name}, seed {self.seed}, rate {self.rate:g} to step {step}"
        return self._fine_tuning(attached, settings, name).run_until(step)

    def start_again(self, failed: FailedStart) -> None:
        """Make `run` start from the beginning, at another rate.

        Args:
            failed: what was seen of the first start.
        """
        logger.warning(
            "%s did not start: %s. It starts again at rate %g.", self.recipe.name, failed.text, failed.other_rate
        )
        write_json(self._failed_start, asdict(failed))
        self.discard_checkpoints()

    def discard_checkpoints(self) -> None:
        """Delete the checkpoints; a training that is not finished then starts anew."""
        Checkpoints(self.folder).discard()

    @property
    def has_failed(self) -> bool:
        """Whether a first start failed."""
        return self._failed_start.exists()

    @property
    def _failed_start(self) -> Path:
        return self.folder / "failed_start.json"

    def _train_and_save(self) -> TrainingResult:
        if not self.has_failed:
            try:
                return self._train(self.rate, checked=True)
            except DidNotStart as error:
                self.start_again(error.failed)
        failed = read_as(FailedStart, read_json(self._failed_start))
        return replace(self._train(failed.other_rate, checked=False), failed_start=failed)

    def _train(self, rate: float, *, checked: bool) -> TrainingResult:
        attached, settings = self._attach(), replace(self.experiment.training, learning_rate=rate)
        training = self._fine_tuning(attached, settings, f"{self.recipe.name}, seed {self.seed}, rate {rate:g}")
        guesses = self.experiment.guess_losses
        if checked and guesses is not None:
            training.trainer.add_callback(StartCheck(fmean(guesses), training.validation_losses))
        found = training.run()
        losses = training.validation_losses()
        method = self.recipe.method or self.recipe.name
        write_provenance(attached.model, method=method, budget=self.budget, seed=self.seed)
        with new_folder(self.folder / self.recipe.saved_as) as new:
            attached.model.save_pretrained(str(new))
        beats = None if guesses is None else beats_guessing(losses, guesses)
        return replace(found, validation_loss=fmean(losses), beats_guessing=beats)

    def _attach(self) -> Attached:
        return self.recipe.attach(self.experiment, self.seed, steps=self.experiment.num_steps)

    def _fine_tuning(self, attached: Attached, settings: TrainingSettings, name: str) -> FineTuning:
        experiment = self.experiment
        return FineTuning(
            attached.model,
            task_format=experiment.task_format,
            train=experiment.train.encoded,
            validation=experiment.validation,
            metric=experiment.task.selection_metric,
            settings=settings,
            phase=Phase(
                name,
                self.folder,
                self.seed,
                select_after_step=attached.select_after_step,
                run=experiment.run_name,
            ),
            callbacks=attached.callbacks,
        )


def start_notes(runs: Sequence[TrainingResult]) -> tuple[str, ...]:
    """Notes for the user on trainings that did not start at once, or that end no better than guessing."""
    return tuple(note for run in runs for note in _start_notes(run))


def _start_notes(run: TrainingResult) -> Iterator[str]:
    if run.failed_start is not None:
        yield (
            f"The training with seed {run.seed} did not start: {run.failed_start.text}. It was started again at rate "
            f"{run.learning_rate:g}, which cost these steps once more."
        )
    if run.beats_guessing is False:
        yield (
            f"The training with seed {run.seed} ends with a validation loss of {run.validation_loss:.3f}, which is no "
            "better than guessing by the labels' frequencies, or not beyond noise. Look at some rows of the data: do "
            "the labels belong to the texts, and are the right columns named in --text and --label?"
        )
