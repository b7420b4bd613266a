"""Notice a regression that predicts the same number for every text."""

from collections.abc import Sequence
from statistics import pstdev

# Predictions that vary less than this share of the targets are called constant.
_SHARE = 0.02


def describe_constant(predictions: Sequence[float], targets: Sequence[float], *, what: str) -> str:
    """Say that predictions are (nearly) constant while the targets are not; empty if they vary.

    Correlations don't show it: they can be high for predictions that differ in the last digit.

    Args:
        predictions: in the user's units.
        targets: of the same examples.
        what: the examples in words, such as "test".
    """
    if not pstdev(predictions) < _SHARE * pstdev(targets):
        return ""
    return (
        f"The predictions of the {what} split are (nearly) constant: {min(predictions):g} to {max(predictions):g}, "
        f"while the targets are {min(targets):g} to {max(targets):g}. The model has learned no more than a mean. More "
        "epochs or another --learning_rate may help; look also whether the labels belong to the texts."
    )
