"""`samples.json`: what the model of a run wrote before and after its training. It quotes the data, unpublished."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peftsearch.files import write_json
from peftsearch.report.document import read_as

SAMPLES = "samples.json"


@dataclass(frozen=True)
class Sample:
    """What was written for an example of the test split; all texts are shortened by `quote`.

    Args:
        read: the text that the model reads.
        wanted: the text that it should write.
        before: what the pretrained model writes.
        after: what it writes with what was trained.
    """

    read: str
    wanted: str
    before: str
    after: str


@dataclass(frozen=True)
class SampleRecord:
    """Samples of one training.

    Args:
        name: of the configuration, as results call it.
        seed: of the training.
        examples: of the test split.
        samples: of its first examples.
    """

    name: str
    seed: int
    examples: int
    samples: tuple[Sample, ...]

    def write(self, run: Path) -> None:
        """Write the record into a run folder."""
        write_json(run / SAMPLES, asdict(self))

    @classmethod
    def from_dict(cls, document: Any) -> "SampleRecord":
        """Read what `write` wrote, as `json.loads` gives it.

        Raises:
            ValueError: if it is something else.
        """
        return read_as(cls, document)
