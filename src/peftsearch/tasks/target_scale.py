"""The numbers of a regression as a model is trained on them: standardised, whatever their unit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from peftsearch.errors import DataError

# Smallest and largest normal numbers of float32, in which heads compute.
_SMALLEST, _LARGEST = 2.0**-126, 2.0**127
# Steps of float32 that the deviation must hold: fewer and predictions would be coarse.
_FEWEST_STEPS = 100
# Deviations between the mean and 0 beyond which a head without a bias does not learn. Tiny models of Llama and GPT-2
# reach a Pearson correlation of 99 and 96 where the mean is near 0, 97 and 87 at 23 deviations, 99 and 35 at 72.
_FARTHEST = 50


@dataclass(frozen=True)
class TargetScale:
    """An exact map between numbers in the user's units and those that a model is trained on.

    Args:
        mean: what is taken off the targets, in the user's units; 0 where a head cannot add it again.
        deviation: one in training stands for so much in the user's units.
        offset: mean of the training targets after that, in deviations; 0 where it was taken off.
    """

    mean: float = 0.0
    deviation: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, targets: Sequence[float], *, has_bias: bool) -> "TargetScale":
        """Measure the training targets.

        Args:
            targets: in the user's units, at least two different ones.
            has_bias: whether the head's last layer has a bias; one without cannot add the mean, so only the
                deviation is taken out.

        Raises:
            DataError: for numbers that float32 cannot hold or tell apart, or that are too far from 0 for a head
                without a bias.
        """
        size = max(map(abs, targets))
        mean = fmean(targets)
        # Where a square overflows, so would float32.
        deviation = math.sqrt(fmean((target - mean) ** 2 for target in targets)) if size <= _LARGEST else math.inf
        if not max(_SMALLEST, _FEWEST_STEPS * size * 2.0**-24) < deviation < math.inf:
            raise DataError(
                f"The training targets lie between {min(targets):g} and {max(targets):g}, which the float32 of models "
                "cannot hold or tell apart. Subtract a constant from all of them, or choose another unit."
            )
        scale = cls(mean, deviation)
        return scale if has_bias else scale._without_mean()

    def _without_mean(self) -> "TargetScale":
        """The scale for a head without a bias, which has to learn the mean as well."""
        offset = self.mean / self.deviation
        if abs(offset) > _FARTHEST:
            raise DataError(
                f"The training targets are {self.mean:g} with a deviation of {self.deviation:g}, and the head of this "
                "model has no bias, so it would have to learn a mean that is far larger than all differences. "
                f"Subtract a constant near {self.mean:g} from all targets and add it to the predictions, or take a "
                "model whose head has a bias, such as BERT."
            )
        return TargetScale(0.0, self.deviation, offset)

    def standardise(self, number: float) -> float:
        """From the user's units to those of training."""
        return (number - self.mean) / self.deviation

    def restore(self, number: float) -> float:
        """From the units of training to the user's."""
        return self.deviation * number + self.mean


# Of targets that are trained on as they are.
AS_GIVEN = TargetScale()
