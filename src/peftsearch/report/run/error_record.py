"""`errors.json`: where the result of a run is wrong on the test split. It quotes the data and is not published."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peftsearch.files import write_json
from peftsearch.report.document import read_as
from peftsearch.tasks.error_report import ErrorReport

ERRORS = "errors.json"


@dataclass(frozen=True)
class ErrorRecord:
    """The errors of one training.

    Args:
        name: of the configuration, as results call it.
        seed: of the training.
        examples: of the test split.
        errors: of the predictions for them.
    """

    name: str
    seed: int
    examples: int
    errors: ErrorReport

    def write(self, run: Path) -> None:
        """Write the record into a run folder."""
        write_json(run / ERRORS, asdict(self))

    @classmethod
    def from_dict(cls, document: Any) -> "ErrorRecord":
        """Read what `write` wrote, as `json.loads` gives it.

        Raises:
            ValueError: if it is something else.
        """
        return read_as(cls, document)
