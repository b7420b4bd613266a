"""How many validation examples judge a training that has not come far."""

import math

# Judges at least, where there are so many.
FEWEST_JUDGES = 128
# Judges for each example that was trained on, at most: a forward pass is about a third of a training step, so judging
# takes about a sixth of the training before it.
_JUDGES_PER_EXAMPLE = 1 / 2


def num_judges(count: int, *, trained_on: int, share: float = 1.0) -> int:
    """The number of validation examples whose losses decide, of so many.

    Args:
        count: examples of the split.
        trained_on: training examples that have passed by then, those of each epoch counted.
        share: of the split that decides at most, from 0 to 1.
    """
    affordable = math.ceil(_JUDGES_PER_EXAMPLE * trained_on)
    return min(count, max(FEWEST_JUDGES, min(affordable, math.ceil(share * count))))
