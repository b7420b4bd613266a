"""S3Delta's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import ABOVE_ZERO, at_least, limited, one_of, require


@dataclass(frozen=True)
class S3DeltaSettings(MethodSettings):
    """Settings of S3Delta; the defaults are those of its public code.

    Args:
        rank: rank of every ranked module, one of the space's; 0 takes the smallest.
        order: order of the architecture's gradient: "second" looks one weight step ahead and costs five passes a
            step, "first" costs two.
        sharpness: of the shifted sigmoid, 1 / beta.
        temperature: of the binary concrete gates; towards 0 they become hard.
        learning_rate: of the architecture parameters; it falls linearly to 0.
        max_grad_norm: norm to which the gradient of the architecture parameters is clipped.
        epochs: planned passes over the weight half; 0 takes the number of the training.

    Example:
        search(model="demo", task="demo", budget="0.5%", method={"name": "s3delta", "order": "first"})
    """

    rank: int = limited(0, at_least(0))
    order: str = limited("second", one_of("second", "first"))
    sharpness: float = limited(1.0, ABOVE_ZERO)
    temperature: float = limited(1.0, ABOVE_ZERO)
    learning_rate: float = limited(0.1, ABOVE_ZERO)
    max_grad_norm: float = limited(2.0, ABOVE_ZERO)
    epochs: float = limited(0.0, at_least(0))

    def candidate_ranks(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        """Return a single rank, since the method only decides which modules are on."""
        allowed = ", ".join(map(str, ranks))
        require(self.rank in (0, *ranks), "method.rank", self.rank, f"a rank of the space ({allowed}), or 0")
        return (self.rank or min(ranks),)
