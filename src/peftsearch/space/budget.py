"""Budgets: hard limits on trainable parameters, the task head excluded."""

import re
from dataclasses import dataclass
from fractions import Fraction

from peftsearch.errors import BudgetError
from peftsearch.names import split_names

_FORM = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>k|m|%|bp|)", re.IGNORECASE)
# One number with commas for thousands, or several budgets of three digits each.
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
_ABSOLUTE = {"": 1, "k": 1_000, "m": 1_000_000}
_RELATIVE = {"%": Fraction(1, 100), "bp": Fraction(1, 10_000)}


def read_budgets(text: str) -> list[str]:
    """The budgets in text with commas, as written.

    Raises:
        BudgetError: for text that may also be one number with commas for thousands.
    """
    if _THOUSANDS.fullmatch(text.strip()):
        one, several = text.replace(",", "").strip(), ", ".join(split_names(text))
        raise BudgetError(
            f"The budget '{text}' may be one number or several budgets. Write {one} for one, or '{several}', with "
            "spaces, for several."
        )
    return split_names(text)


def as_several(text: str) -> str:
    """Budgets as files of earlier versions hold them, which took every comma for one between two budgets."""
    return text.replace(",", ", ") if _THOUSANDS.fullmatch(text) else text


@dataclass(frozen=True)
class Budget:
    """A limit on trainable parameters: a number of them, or a share of the backbone's.

    Args:
        text: the budget as the user wrote it, for reports.
        amount: exact number of parameters, or exact share of the backbone's parameters; above 0.
        is_relative: whether `amount` is a share.

    Example:
        Budget.parse("0.05%").parameters(108_310_272)  # 54155
    """

    text: str
    amount: Fraction
    is_relative: bool

    @classmethod
    def parse(cls, text: str | int) -> "Budget":
        """Read a budget.

        Args:
            text: "102600", "100k", "1.5m", "0.05%" or "1.39bp" (per ten thousand of the backbone's parameters).

        Raises:
            BudgetError: if the text has another form or is not above 0.
        """
        text = str(text).strip()
        match = _FORM.fullmatch(text)
        if match is None:
            raise BudgetError(
                f"Cannot read the budget '{text}'. Write a number of parameters (102600, 100k, 1.5m) "
                "or a share of the backbone (0.05%, or 5bp for five per ten thousand)."
            )
        number, unit = Fraction(match["number"]), match["unit"].lower()
        amount = number * (_RELATIVE[unit] if unit in _RELATIVE else _ABSOLUTE[unit])
        if amount <= 0:
            raise BudgetError(f"The budget '{text}' must be above 0 parameters.")
        if amount < 1 and unit not in _RELATIVE:
            raise BudgetError(f"The budget '{text}' is less than one parameter. Did you mean '{text}%'?")
        return cls(text, amount, unit in _RELATIVE)

    def parameters(self, backbone_parameters: int) -> int:
        """Convert the budget to a whole number of parameters, rounded down.

        Args:
            backbone_parameters: parameters of the model without its task head; a relative budget is a share of them.
        """
        return int(self.amount * backbone_parameters if self.is_relative else self.amount)
