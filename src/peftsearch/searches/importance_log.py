"""A log of the importance that a gate search gives each live module, as JSON lines."""

from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from peftsearch.space import Placement
from peftsearch.training.log_file import LogFile

# Approximate number of rows of a search that runs to its planned end.
NUM_ROWS = 50


class ImportanceLog(TrainerCallback):
    """Append the importances to a file at evenly spaced steps and at the last one.

    A row is `{"step": 12, "importance": {"encoder.0.query": {"lora": 0.013}}}`, the step as in the log.

    Args:
        file: the log; nothing is written for methods without importances.
        importances: returns the present importance of each live module.
    """

    def __init__(self, file: LogFile, importances: Callable[[], Mapping[Placement, float]]):
        self.file, self.importances = file, importances

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step == 0:
            self.file.clear()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        is_last = state.global_step == state.max_steps or control.should_training_stop
        if state.is_world_process_zero and (is_last or state.global_step % max(1, state.max_steps // NUM_ROWS) == 0):
            self._append(state.global_step - 1)

    def _append(self, step: int) -> None:
        by_site: dict[str, dict[str, float]] = {}
        for placement, value in self.importances().items():
            by_site.setdefault(placement.site, {})[placement.kind] = float(f"{value:.4g}")
        if by_site:
            self.file.append({"step": step, "importance": by_site})
