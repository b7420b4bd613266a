"""One training of a recipe: attached, trained and saved, and started again once where it does not start."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

from peft import PeftModel

from peftsearch.files import new_folder, write_json
from peftsearch.modules.adapter_config import write_provenance
from peftsearch.modules.saved_adapter import save_adapter
from peftsearch.report.document import read_as
from peftsearch.report.wording import count
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.recipe import Attached, Recipe
from peftsearch.run.target_units import fold_scale
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.training import stop_signals
from peftsearch.training.arguments import Phase
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.fine_tuning import FineTuning, TrainingResult
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.start_check import DidNotStart, FailedStart, StartCheck, beats_guessing, next_rate

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
        budget: of the modules, is noted in the result; None without one.
        checks_start: whether it starts again at another rate where it is no better than guessing.
    """

    experiment: Experiment
    recipe: Recipe
    folder: Path
    seed: int
    rate: float
    budget: int | None
    checks_start: bool = True

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

    def run_until(self, step: int, *, judged_on: EncodedSplit) -> list[float]:
        """Train up to a step of the whole schedule, from where `run` goes on.

        Args:
            step: optimizer steps, fewer than those of the whole training.
            judged_on: examples whose losses are returned.

        Returns:
            the loss of every such example at that step.

        Raises:
            TrainingError: if the loss stops being a number.
        """
        attached = self._attach()
        settings = replace(self.experiment.training, learning_rate=self.rate, report_to="none")
        name = f"{self.recipe.name}, seed {self.seed}, rate {self.rate:g} to step {step}"
        losses = self._fine_tuning(attached, settings, name).run_until(step, judged_on=judged_on)
        Checkpoints(self.folder).keep_newest()
        return losses

    def start_again(
        self,
        step: int,
        loss: float,
        guess: float,
        *,
        tried: Sequence[float],
        some_too_high: bool = False,
        seconds: float = 0.0,
    ) -> float:
        """Make `run` start from the beginning, at another rate, since this start is no better than guessing.

        Args:
            step: optimizer steps that were taken.
            loss: mean validation loss at that step.
            guess: mean loss of guessing on the same examples.
            tried: rates that led to no better one.
            some_too_high: whether any of them was, see `is_too_high`, so that a higher one is out.
            seconds: that it took, if they are not counted elsewhere.

        Returns:
            the rate of the second start.
        """
        rate = next_rate(tried, loss, guess, some_too_high=some_too_high)
        failed = FailedStart(self.rate, step, loss, guess, rate, seconds)
        logger.warning(
            "%s did not start: %s. It starts again at rate %g.", self.recipe.name, failed.text, failed.next_rate
        )
        # In this order: with the record but with checkpoints too, a resumed run would go on with the failed start.
        self.discard_checkpoints()
        write_json(self._failed_start, asdict(failed))
        return failed.next_rate

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
            started = time.perf_counter()
            try:
                return self._train(self.rate, guess=self.experiment.guess_loss if self.checks_start else None)
            except DidNotStart as error:
                seconds = time.perf_counter() - started
                self.start_again(error.step, error.loss, error.guess, tried=[self.rate], seconds=seconds)
        failed = read_as(FailedStart, read_json(self._failed_start))
        result = self._train(failed.next_rate, guess=None)
        return replace(result, failed_start=failed, seconds=result.seconds + failed.seconds)

    def _train(self, rate: float, *, guess: float | None) -> TrainingResult:
        """Train at a rate, and save; stop after a fifth where the loss is not below `guess`, if it is given."""
        attached, settings = self._attach(), replace(self.experiment.training, learning_rate=rate)
        training = self._fine_tuning(attached, settings, f"{self.recipe.name}, seed {self.seed}, rate {rate:g}")
        if guess is not None:
            training.trainer.add_callback(StartCheck(guess, training.validation_losses))
        found = training.run()
        losses = training.validation_losses()
        fold_scale(attached.model, self.experiment.task_format.scale)
        method = self.recipe.method or self.recipe.name
        granted = None if self.budget is None else self.experiment.granted(self.budget)
        write_provenance(attached.model, method=method, budget=granted, seed=self.seed)
        with new_folder(self.folder / self.recipe.saved_as) as new:
            if isinstance(attached.model, PeftModel):
                save_adapter(attached.model, new)
            else:
                attached.model.save_pretrained(str(new))
            if processor := self.experiment.task_format.saved_processor:
                processor.save_pretrained(str(new))
        guesses = self.experiment.guess_losses
        beats = None if guesses is None else beats_guessing(losses, guesses)
        return replace(found, validation_loss=fmean(losses), beats_guessing=beats)

    def _attach(self) -> Attached:
        return self.recipe.attach(self.experiment, self.seed, steps=self.experiment.num_steps)

    def _fine_tuning(self, attached: Attached, settings: TrainingSettings, name: str) -> FineTuning:
        experiment = self.experiment
        return FineTuning(
            attached.model,
            task_format=experiment.task_format,
            train=experiment.splits.train.encoded,
            validation=experiment.splits.validation,
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


def best_of(runs: Sequence[TrainingResult], metric: str) -> int:
    """Index of the training with the best validation score; the first of equals."""
    return max(range(len(runs)), key=lambda i: METRICS[metric].merit(runs[i].validation[metric]))


def start_notes(folder: Path) -> tuple[str, ...]:
    """Notes for the user on all trainings below a run folder that did not start at once, or are close to guessing."""
    return tuple(note for record in _records(folder) for note in _start_notes(record, folder))


def stop_notes(folder: Path) -> tuple[str, ...]:
    """A note for the user on all trainings below a run folder that stopped early, if there are any."""
    runs = {_name(record, folder): TrainingResult.from_dict(read_json(record)) for record in _records(folder)}
    stopped = {name: run.stopped_early for name, run in runs.items() if run.stopped_early}
    if not stopped:
        return ()
    where = "; ".join(f"{name} {each.text}" for name, each in stopped.items())
    patience = count(next(iter(stopped.values())).patience, "epoch")
    return (f"Stopped early, without a better validation score for {patience}: {where}.",)


def _records(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/seed-*/trained.json"))


def _name(record: Path, folder: Path) -> str:
    return record.parent.relative_to(folder).as_posix()


def _start_notes(record: Path, folder: Path) -> Iterator[str]:
    run, name = TrainingResult.from_dict(read_json(record)), _name(record, folder)
    failed = run.failed_start
    if failed is not None:
        yield (
            f"{name} did not start: {failed.text}. It was started again at rate {run.learning_rate:g}; the "
            f"{failed.step:,} steps were taken in vain."
        )
    if run.beats_guessing is False:
        yield (
            f"{name} ends with a validation loss of {run.validation_loss:.3f}, which does not beat guessing by the "
            "labels' frequencies, or not beyond noise. If its score is no better than guessing either, look at some "
            "rows of the data: do the labels belong to what is read, and are the right columns named in --text and "
            "--label? If its score is good, it is too sure of itself: fewer epochs or a lower rate help."
        )
