"""The section of a run's page on what its model writes, before and after the training."""

from peftsearch.report.page import Section, TextTable
from peftsearch.report.run.sample_record import SampleRecord
from peftsearch.report.wording import count

# In place of a text that is empty.
_NOTHING = "(nothing)"


def sample_section(record: SampleRecord) -> Section:
    """The section of a page."""
    shown = count(len(record.samples), "example")
    text = (
        f"The first {shown} of the {record.examples:,} of the test split, written by the pretrained model (before) "
        f"and by {record.name}, seed {record.seed} (after), greedily. Texts are shortened."
    )
    rows = tuple((s.read, s.wanted, s.before or _NOTHING, s.after or _NOTHING) for s in record.samples)
    table = TextTable("Texts before and after training", ("read", "wanted", "before", "after"), rows, has_texts=True)
    return Section("samples", "What it writes", (text,), tables=(table,))
