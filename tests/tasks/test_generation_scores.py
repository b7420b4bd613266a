"""Scores of written texts: values worked out by hand."""

from decimal import Decimal

import pytest

from peftsearch.tasks.generation_scores import (
    chrf,
    exact_text,
    final_number,
    find_final_number,
    has_rouge_words,
    rouge_l,
)


def test_texts_are_exact_but_for_white_space():
    assert exact_text(["a  cat\n", "A cat", "a cat.", "a cat"], ["a cat"] * 4) == 50


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She has 3 + 4 = 7 eggs.", "7"),
        ("so 12 more\n#### 1,234", "1234"),
        ("#### 5 apples of 7\n#### 6", "5"),
        ("#### 18\n\nQuestion: 5 apples and 7 pears", "18"),
        ("#### none, or 7 at most", "7"),
        ("\N{MINUS SIGN}5", "-5"),
        ("it costs $18.00", "18"),
        ("-5", "-5"),
        ("from 10-3", "3"),
        ("(2)-1", "1"),
        ("it is -$2.5.", "-2.5"),
        ("$-3", "-3"),
        ("about .5 of it, or so", "0.5"),
        ("1,000,000, or more", "1000000"),
        ("2 eggs ####", None),
        ("none", None),
        ("", None),
    ],
)
def test_the_final_number_is_the_first_one_after_the_mark_or_the_last_one(text, number):
    assert find_final_number(text) == (None if number is None else Decimal(number))


def test_final_numbers_are_compared_as_numbers():
    references = ["#### 1200", "#### 7", "#### 7", "no number"]
    # 1,200.0 is 1200; a text without a number and a reference without one are wrong.
    assert final_number(["so 1,200.0", "8", "no number", "no number"], references) == 25


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence():
    # "the cat sat" and "the big cat": the subsequence "the cat" has 2 of 3 words of each, F1 2/3. The second has none.
    assert rouge_l(["The cat sat!", ""], ["the big cat", "a dog"]) == pytest.approx(100 / 3)


def test_rouge_knows_no_words_of_other_letters():
    assert [has_rouge_words(text) for text in ("Ida", "7", "猫が好き", "!")] == [True, True, False, False]
    assert rouge_l(["猫が好き"], ["猫が好き"]) == 0


def test_chrf_is_the_f2_of_character_n_grams():
    # Of "abc" against "abd": one-grams 2 of 3, two-grams 1 of 2, three-grams 0 of 1, and no longer ones. Precision and
    # recall are equal for each, and so is F2: their mean over the three orders is (2/3 + 1/2 + 0) / 3.
    assert chrf(["abc"], ["abd"]) == pytest.approx(100 * (2 / 3 + 1 / 2) / 3)
    assert chrf(["abc", ""], ["abc", ""]) == pytest.approx(100)


def test_chrf_counts_recall_twice():
    # "ab" against "abcd": one-grams p 1, r 1/2; two-grams p 1, r 1/3; the text has no longer ones, which do not count.
    # With the means p = 1 and r = 5/12, F2 = 5 p r / (4 p + r).
    assert chrf(["ab"], ["abcd"]) == pytest.approx(100 * (5 * 5 / 12) / (4 + 5 / 12))
