import pytest

from peftsearch.errors import BudgetError
from peftsearch.space import Budget

T5_LARGE = 737_668_096


@pytest.mark.parametrize(
    "text,expected",
    [
        ("102600", 102_600),
        ("100k", 100_000),
        ("1.5M", 1_500_000),
        ("1.39bp", 102_535),
        ("0.0139%", 102_535),
        ("100%", T5_LARGE),
        (" 2 bp ", 147_533),
        (102600, 102_600),
    ],
)
def test_a_budget_is_read_exactly_and_rounded_down(text, expected):
    assert Budget.parse(text).parameters(T5_LARGE) == expected


@pytest.mark.parametrize("text", ["", "ten", "1e5", "-5", "5%%", "1,000", "0x10", "nan", "inf%"])
def test_other_forms_are_refused_with_the_allowed_ones(text):
    with pytest.raises(BudgetError, match="5bp"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["0", "0%", "0.0bp"])
def test_a_budget_of_nothing_is_refused(text):
    with pytest.raises(BudgetError, match="above 0"):
        Budget.parse(text)
