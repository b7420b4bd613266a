"""How a run trained a language model, as far as another tool can repeat it at full scale."""

from dataclasses import dataclass
from enum import StrEnum

from peftsearch.tasks.tables import AS_USUAL
from peftsearch.tasks.text_files import TextReading
from peftsearch.training.settings import TrainingSettings


class Rows(StrEnum):
    """What a row of the data is, in TRL's terms."""

    TEXT = "a text"
    PAIR = "a prompt and its completion"
    CHAT = "a list of messages"
    CHAT_PAIR = "a prompt and its completion, both lists of messages"


@dataclass(frozen=True)
class RecordedData:
    """The data of a run.

    Args:
        train: path of a file, or a hub id.
        validation: path of a file, or name of a split on the hub; empty if the run drew the split from `train`.
        is_on_hub: whether `train` is a hub id.
        rows: what a row is.
        columns: the column of the text or the messages, or the columns of prompt and completion.
        along: further columns that a chat template reads, such as "tools".
        reading: delimiter and encoding of text files.
        leaves_out: whether rows without a text were left out.
        configuration: of the data set on the hub; empty for the only one.
    """

    train: str
    validation: str
    is_on_hub: bool
    rows: Rows
    columns: tuple[str, ...]
    along: tuple[str, ...] = ()
    reading: TextReading = AS_USUAL
    leaves_out: bool = False
    configuration: str = ""


@dataclass(frozen=True)
class RecordedTraining:
    """The data and the settings of the training whose result a run handed over.

    Args:
        data: what was read.
        settings: with the learning rate that was found.
        max_length: tokens kept of a row.
        seed: of the run.
    """

    data: RecordedData
    settings: TrainingSettings
    max_length: int
    seed: int

    @property
    def is_evaluated(self) -> bool:
        """Whether there are rows to evaluate on that are not trained on."""
        return bool(self.data.validation)

    @property
    def counts_answers_alone(self) -> bool:
        """Whether only what the assistant says, or the completion, counts in the loss."""
        if self.data.rows in (Rows.PAIR, Rows.CHAT_PAIR):
            return self.settings.completion_only
        return self.settings.assistant_only
