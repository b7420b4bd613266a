"""Numbers and names as every report writes them."""

from peftsearch.tasks.metric_registry import METRICS


def with_deviation(metric: str, mean: float, std: float | None) -> str:
    """A mean in a metric, with its sample deviation if there is one."""
    decimals = METRICS[metric].decimals(mean)
    return f"{mean:.{decimals}f}" if std is None else f"{mean:.{decimals}f} ± {std:.{decimals}f}"


def write_score(metric: str, value: float) -> str:
    """A score in a metric as text."""
    return with_deviation(metric, value, None)


def in_words(metric: str) -> str:
    """The title of a metric; other names without underscores."""
    return METRICS[metric].title if metric in METRICS else metric.replace("_", " ")


def with_direction(metric: str) -> str:
    """The title of a metric, and that lower is better where it is."""
    return f"{in_words(metric)} (lower is better)" if METRICS[metric].lower_is_better else in_words(metric)


def unit_of_gains(metric: str, split: str) -> str:
    """The words after a gain in a metric: points of it, or for an error what a plus means.

    Args:
        metric: its name.
        split: whose scores are compared.
    """
    if METRICS[metric].lower_is_better:
        return f"in {split} {in_words(metric)} (plus means lower)"
    return f"points of {split} {in_words(metric)}"


def count(number: int, word: str) -> str:
    """A number with its noun: 1 seed, 2 seeds."""
    return f"{number} {word}{'s' * (number != 1)}"


def count_kinds(modules_by_kind: dict[str, int]) -> str:
    """Numbers of modules by kind as text: 9 bitfit, 2 lora."""
    return ", ".join(f"{number} {kind}" for kind, number in modules_by_kind.items())
