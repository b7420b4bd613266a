"""Weights of classes in the loss, so that rare ones count as much as frequent ones."""

from collections.abc import Sequence

from peftsearch.errors import DataError
from peftsearch.tasks.task import TRAIN, Goal, Task

# As many weights are named; of more, the least and the largest.
_SHOWN = 6


def balanced_weights(task: Task) -> tuple[float, ...]:
    """Weigh each class by n / (k n_c), for n_c of n training examples and k classes; the mean over examples is 1.

    Args:
        task: of classes; one without a training example gets the weight 1, which only validation can meet.

    Raises:
        DataError: for a task that does not predict classes.
    """
    if task.goal is not Goal.CLASSIFICATION:
        known = {Goal.REGRESSION: "numbers", Goal.ANSWER: "answers", Goal.TAGS: "tags"}
        what = known.get(task.goal, "next tokens")
        raise DataError(
            f"training.class_weights is 'balanced', but {task.name} predicts {what}, which have no class weights. "
            "Leave it out, or set it to 'none'."
        )
    import numpy
    from sklearn.utils.class_weight import compute_class_weight

    targets = [int(example.number) for example in task.splits[TRAIN]]
    present = sorted(set(targets))
    weights = compute_class_weight("balanced", classes=numpy.array(present), y=targets)
    by_class = dict(zip(present, map(float, weights), strict=True))
    return tuple(by_class.get(index, 1.0) for index in range(len(task.labels)))


def describe_weights(labels: Sequence[str], weights: Sequence[float]) -> str:
    """Name the weight of each class; of many classes the least and the largest alone."""
    pairs = sorted(zip(weights, labels, strict=True)) if len(labels) > _SHOWN else list(zip(weights, labels))
    shown = [f"{label} {weight:.4g}" for weight, label in pairs]
    return ", ".join(shown) if len(shown) <= _SHOWN else f"{shown[0]} to {shown[-1]} ({len(shown)} classes)"
