"""Where predictions are wrong, counted by hand, and against scikit-learn where there are many labels."""

import random

import pytest
from sklearn.metrics import f1_score

from peftsearch.tasks.answer_errors import answer_errors
from peftsearch.tasks.class_errors import class_errors
from peftsearch.tasks.error_report import CountMatrix, ErrorReport, ErrorTable, NumberPairs
from peftsearch.tasks.label_set_errors import label_set_errors
from peftsearch.tasks.number_errors import number_errors
from peftsearch.tasks.span_errors import span_errors
from peftsearch.tasks.tag_errors import tag_errors
from peftsearch.tasks.task import Example


def text(words: str, target) -> Example:
    return Example((("text:", words),), target)


def words(tags: list[int], labels: str = "abcdefgh") -> Example:
    return Example(tuple(("tokens:", labels[i]) for i in range(len(tags))), tuple(tags))


def test_few_classes_have_a_matrix_and_their_scores():
    examples = [text("one", 0), text("two", 0), text("three", 0), text("four", 1)]
    found = class_errors(
        [[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.2, 0.7, 0.1], [0.1, 0.9, 0.0]], examples, ("x", "y", "z")
    )
    assert found.matrix == CountMatrix(("x", "y", "z"), ((1, 2, 0), (0, 1, 0), (0, 0, 0)))
    (scores,) = found.tables
    # x: 1 of 1 and 1 of 3; y: 1 of 3 and 1 of 1; nothing is a z.
    assert scores.rows == (
        ("x", "3", "100.00", "33.33", "50.00"),
        ("y", "1", "33.33", "100.00", "50.00"),
        ("z", "0", "-", "-", "-"),
    )
    (quotes,) = found.quotes
    assert quotes.caption == "The surest of 2 mistakes"
    assert quotes.header == ("example", "true", "predicted", "probability", "text")
    assert quotes.rows == (("3", "x", "y", "0.700", "three"), ("2", "x", "y", "0.600", "two"))


def test_many_classes_have_their_worst_and_the_pairs_confused_most_often():
    rng, labels = random.Random(0), tuple(f"class {i}" for i in range(30))
    true = [i for i in range(29) for _ in range(8)]
    found = [3 if i == 7 else rng.choice((i, i, rng.randrange(29))) for i in true]
    report = class_errors([[float(i == one) for i in range(30)] for one in found], [text("", i) for i in true], labels)
    worst, pairs = report.tables
    assert report.matrix is None and worst.caption == "The 10 labels of 30 with the lowest F1, in percent"
    expected = f1_score(true, found, labels=range(30), average=None, zero_division=0)
    assert [row[4] for row in worst.rows] == [f"{100 * value:.2f}" for value in sorted(expected[:29])[:10]]
    assert worst.rows[0] == ("class 7", "8", "0.00", "0.00", "0.00"), "the class that nothing is of is not among them"
    assert len(pairs.rows) == 15 and pairs.rows[0] == ("class 7", "class 3", "8", "100%")
    assert len(report.quotes[0].rows) == 10


def test_several_labels_have_their_scores_and_the_texts_with_most_wrong_ones():
    examples = [text("one", (0, 1)), text("two", (1,)), text("three", ()), text("four", (0,))]
    found = label_set_errors([[1, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]], examples, ("x", "y", "z"))
    # x: 2 right of 3 given and of 2 there; y: 1 right of 1 given and of 2 there; no text is a z.
    assert found.tables[0].rows == (
        ("x", "2", "66.67", "100.00", "80.00"),
        ("y", "2", "100.00", "50.00", "66.67"),
        ("z", "0", "-", "-", "-"),
    )
    (quotes,) = found.quotes
    assert quotes.caption == "Rows with the most wrong labels, of 2 with any"
    assert quotes.header == ("example", "not given", "given wrongly", "text")
    assert quotes.rows == (("2", "y", "x", "two"), ("3", "-", "z", "three"))
    assert found.without_data().quotes == ()


def test_spans_are_counted_by_what_became_of_their_questions():
    context = "The red fox ran home."

    def asked(question: str, *spans: tuple[int, int]) -> Example:
        return Example((("question", question), ("context", context)), spans)

    examples = [asked("what?", (4, 11), (8, 11)), asked("who?", (4, 11)), asked("where?", (16, 20)), asked("when?"),
                asked("why?"), asked("how?", (12, 15))]  # fmt: skip
    found = span_errors(["the fox", "fox", "red", "ran", "", ""], examples)
    (table,) = found.tables
    assert table.header == ("questions", "how many", "right", "with other ends", "elsewhere", "not answered")
    assert table.rows == (("with an answer", "4", "1", "1", "1", "1"), ("without an answer", "2", "1", "0", "1", "0"))
    (quotes,) = found.quotes
    assert quotes.rows == (("2", "red fox", "fox", "who?"), ("3", "home", "red", "where?"), ("4", "-", "ran", "when?"),
                           ("6", "ran", "-", "how?"))  # fmt: skip
    assert span_errors(["fox"], examples[:1]).text == ("No answer is wrong.",)


def test_nothing_wrong_is_said():
    found = class_errors([[0.9, 0.1], [0.4, 0.6]], [text("one", 0), text("two", 1)], ("x", "y"))
    assert found.text == ("No prediction is wrong.",) and found.quotes == ()
    assert tag_errors([[0, 1]], [words([0, 1])], ("O", "B-x")).text == ("No prediction is wrong.",)


def test_numbers_are_drawn_and_the_largest_errors_shown():
    found = number_errors([1.5, 2.0, -1.25], [text("one", 1.0), text("two", 5.0), text("three", -1.0)])
    assert found.numbers == NumberPairs((-1.0, 1.0, 5.0), (-1.25, 1.5, 2.0))
    (quotes,) = found.quotes
    assert quotes.header == ("example", "true", "predicted", "difference", "text")
    assert quotes.rows == (
        ("2", "5", "2", "-3", "two"),
        ("1", "1", "1.5", "+0.5", "one"),
        ("3", "-1", "-1.25", "-0.25", "three"),
    )


@pytest.mark.parametrize("count", [1, 300, 301, 5000])
def test_of_many_numbers_some_are_drawn_the_extremes_among_them(count):
    numbers = [float(i) for i in range(count)]
    drawn = number_errors(numbers, [text("", number) for number in numbers]).numbers
    assert drawn.true == drawn.predicted and len(set(drawn.true)) == len(drawn.true) == min(count, 300)
    assert drawn.true[0] == 0 and drawn.true[-1] == count - 1


def test_it_is_counted_what_became_of_each_span():
    labels = ("O", "B-city", "I-city", "B-name")
    #           a: name   b-c: city   d   e: city  f
    examples = [words([3, 1, 2, 0, 1, 0]), words([0, 0])]
    # The name is called a city, of the city the end is missed, the other one is not seen, and f is called a name.
    found = tag_errors([[1, 1, 0, 0, 0, 3], [0, 0]], examples, labels)
    (outcomes,) = found.tables
    assert outcomes.header[1:] == ("spans", "right", "as another type", "with other ends", "missed",
                                   "predicted where none is")  # fmt: skip
    assert outcomes.rows == (("city", "2", "0", "0", "1", "1", "0"), ("name", "1", "0", "1", "0", "0", "1"))
    (quotes,) = found.quotes
    assert quotes.caption == "Rows with the most wrong spans, of 1 with any"
    assert quotes.rows == (("1", "a (name); b c (city); e (city)", "a (city); b (city); f (name)", "a b c d e f"),)


def test_tags_without_spans_are_compared_by_words():
    found = tag_errors([[0, 1, 1], [0]], [words([0, 0, 1]), words([0])], ("NOUN", "VERB"))
    assert found.matrix == CountMatrix(("NOUN", "VERB"), ((2, 1), (0, 1)))
    assert found.quotes[0].rows == (("1", "b: VERB, not NOUN", "a b c"),)


def test_answers_that_match_none_of_the_right_ones_are_shown():
    examples = [text("who?", ("Ida", "the Ida")), text("where?", ("Oslo",)), text("when?", ("1900",))]
    found = answer_errors(["an ida.", "Bergen", "1901"], examples)
    assert found.quotes == (
        ErrorTable(
            "The first of 2 wrong answers, of 3",
            ("example", "right", "answered", "text"),
            (("2", "Oslo", "Bergen", "where?"), ("3", "1900", "1901", "when?")),
        ),
    )
    assert answer_errors(["Ida"], examples[:1]) == ErrorReport(("No answer is wrong.",))


def test_what_is_published_quotes_nothing():
    table = ErrorTable("a", ("b",), (("c",),))
    whole = ErrorReport(("d",), CountMatrix(("x",), ((1,),)), NumberPairs((1.0,), (2.0,)), (table,), (table,))
    assert whole.without_data() == ErrorReport(("d",), whole.matrix, None, (table,), ())
    assert ErrorReport().is_empty and not whole.is_empty
