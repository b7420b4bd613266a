import pytest

from peftsearch.errors import BudgetError
from peftsearch.space import Budget
from peftsearch.space.budget import read_budgets

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


def test_a_budget_of_less_than_one_parameter_was_meant_as_a_share():
    with pytest.raises(BudgetError, match=r"'0\.1' is less than one parameter\. Did you mean '0\.1%'\?"):
        Budget.parse("0.1")


def test_commas_part_budgets():
    assert read_budgets("0.5%,0.1%") == ["0.5%", "0.1%"]
    assert read_budgets("600,1200") == ["600", "1200"]
    assert read_budgets("691, 968") == ["691", "968"]


@pytest.mark.parametrize("text", ["691,968", "1,000", " 1,000,000 "])
def test_commas_for_thousands_are_not_taken_for_several_budgets(text):
    with pytest.raises(BudgetError, match=f"Write {text.replace(',', '').strip()} for one"):
        read_budgets(text)
