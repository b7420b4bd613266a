"""The numbers of a task head's fit to the frozen model. No torch here, since results hold them too."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadProbe:
    """The fit of a new task head to the frozen model.

    Args:
        fresh_loss: mean validation loss of the head as drawn.
        loss: mean validation loss of the head that is taken, at most `fresh_loss`.
        learning_rate: at which it was fitted; None where no fit helped and the head stayed as drawn.
        num_rows: encoded rows of the training set that it was fitted to.
        seconds: wall time, that of the backbone included.
        lowest_loss: the lowest that a fit came to; None in records of older versions.
        reads: what the head reads of a text: "first token", "last token" or "all tokens"; empty in those.
    """

    fresh_loss: float
    loss: float
    learning_rate: float | None
    num_rows: int
    seconds: float
    lowest_loss: float | None = None
    reads: str = ""
