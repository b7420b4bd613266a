"""Numbers and names as every report writes them."""


def with_deviation(mean: float, std: float | None) -> str:
    """A mean, with its sample deviation if there is one."""
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"


def in_words(metric: str) -> str:
    """The name of a metric without underscores."""
    return metric.replace("_", " ")


def count(number: int, word: str) -> str:
    """A number with its noun: 1 seed, 2 seeds."""
    return f"{number} {word}{'s' * (number != 1)}"


def count_kinds(modules_by_kind: dict[str, int]) -> str:
    """Numbers of modules by kind as text: 9 bitfit, 2 lora."""
    return ", ".join(f"{number} {kind}" for kind, number in modules_by_kind.items())
