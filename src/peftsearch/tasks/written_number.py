"""Numbers in the unit of the labels as people write them: prices in full, not as 1.2533e+05."""

import math

# Beyond these, as powers of ten, a number is written with an exponent.
_LOWEST, _HIGHEST = -4, 15


def write_number(value: float, digits: int) -> str:
    """A number with at least so many significant digits, its thousands set apart, without zeros at its end.

    Args:
        value: the number.
        digits: of which those before the point are always written.
    """
    power = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    if not _LOWEST <= power < _HIGHEST:
        return f"{value:.{digits}g}"
    text = f"{value:,.{max(0, digits - 1 - power)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
