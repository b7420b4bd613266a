"""Scores of written texts against their references, in percent; 100 is perfect."""

import re
from collections.abc import Sequence
from decimal import Decimal
from statistics import fmean

# What GSM8K writes before the answer.
_ANSWER_MARK = "####"
_DIGITS = r"\d(?:[\d,]*\d)?"
# A minus after a digit, a letter or a bracket is a difference and no sign.
_NUMBER = re.compile(rf"(?:(?<![\w)\]])-)?\$?(?:{_DIGITS}(?:\.\d+)?|\.\d+)")


def exact_text(texts: Sequence[str], references: Sequence[str]) -> float:
    """Share of the texts that are their reference; only white space may differ."""
    right = [text.split() == reference.split() for text, reference in zip(texts, references, strict=True)]
    return 100 * sum(right) / len(right)


def final_number(texts: Sequence[str], references: Sequence[str]) -> float:
    """Share of the texts whose final number is that of their reference; a reference without one is never met."""
    pairs = ((find_final_number(a), find_final_number(b)) for a, b in zip(texts, references, strict=True))
    right = [wanted is not None and found == wanted for found, wanted in pairs]
    return 100 * sum(right) / len(right)


def find_final_number(text: str) -> Decimal | None:
    """Find the answer of a text: the first number after its first ####, or the last number where it has no ####.

    Commas and a dollar sign are passed over, and the minus sign of typesetting counts as one.

    Returns:
        the number; None where there is none.

    Source:
        the answers of GSM8K (Cobbe et al. 2021), which end in "#### 1,234"; what a model writes on after that is not
        its answer.
    """
    before, mark, after = text.replace("\N{MINUS SIGN}", "-").partition(_ANSWER_MARK)
    found = _NUMBER.findall(after if mark else before)
    return Decimal(found[0 if mark else -1].replace(",", "").replace("$", "")) if found else None


def rouge_l(texts: Sequence[str], references: Sequence[str]) -> float:
    """Mean F1 of the longest common subsequence of words, by rouge-score without stemming.

    It counts words of the letters a to z and digits alone; see `has_rouge_words`.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    scores = (scorer.score(reference, text) for text, reference in zip(texts, references, strict=True))
    return 100 * fmean(score["rougeL"].fmeasure for score in scores)


def has_rouge_words(text: str) -> bool:
    """Whether ROUGE finds a word in a text: it passes over all but the letters a to z and digits."""
    return re.search(r"[a-z0-9]", text.lower()) is not None


def chrf(texts: Sequence[str], references: Sequence[str]) -> float:
    """F of the n-grams of up to six characters of all texts together, recall counting twice (chrF2), by sacrebleu."""
    from sacrebleu import corpus_chrf

    return float(corpus_chrf(list(texts), [list(references)]).score)
