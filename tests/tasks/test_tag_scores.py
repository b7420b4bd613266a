"""Scores of tags by hand, on two sentences."""

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks.metric_registry import score_task
from peftsearch.tasks.tag_scores import EntityScore, complete_tags, mean_entities, score_entities
from peftsearch.tasks.task import Example, Goal, Task

LABELS = ("O", "B-city", "I-city", "B-name")
METRICS = ("entity_f1", "entity_precision", "entity_recall", "token_accuracy")


def example(*tags: int) -> Example:
    return Example(tuple(("tokens:", str(i)) for i in range(len(tags))), tags)


# Three spans: a name, a city of two words and a city of one.
GOLD = [example(3, 0, 1, 2), example(1, 0)]
# The name is found, of the first city the end is missed, the other one is found, and a name is seen where none is.
FOUND = [[3, 0, 1, 0], [1, 3]]


def test_spans_count_if_type_and_ends_are_right():
    task = Task("a", Goal.TAGS, LABELS, METRICS[0], METRICS[0], {}, "", 8, other_metrics=METRICS[1:])
    # 2 of 4 predicted and of 3 gold spans; 4 of 6 words.
    assert score_task(task, FOUND, GOLD) == pytest.approx(
        {"entity_precision": 50, "entity_recall": 200 / 3, "entity_f1": 400 / 7, "token_accuracy": 400 / 6}
    )
    nothing = score_task(task, [[0] * 4, [0] * 2], GOLD)
    assert nothing == pytest.approx(dict.fromkeys(METRICS[:3], 0) | {"token_accuracy": 100 * 2 / 6})


def test_each_type_has_its_scores():
    assert score_entities(FOUND, GOLD, LABELS) == {
        "city": EntityScore(50.0, 50.0, 50.0, 2),
        "name": EntityScore(50.0, 100.0, pytest.approx(200 / 3), 1),
    }
    assert score_entities([[0], [1]], [example(0), example(1)], ("NOUN", "VERB")) == {}


def test_means_over_trainings_take_what_is_not_predicted_for_0():
    rows = [
        {"city": EntityScore(50, 40, 30, 2)},
        {"city": EntityScore(70, 60, 50, 2), "name": EntityScore(0, 0, 0, 0)},
    ]
    assert mean_entities(rows) == {"city": EntityScore(60, 50, 40, 2), "name": EntityScore(0, 0, 0, 0)}
    assert mean_entities([]) == {}


def test_words_that_were_not_read_have_the_first_tag():
    assert complete_tags([[3, 1], [1, 0]], GOLD) == [[3, 1, 0, 0], [1, 0]]
    with pytest.raises(DataError, match="1 rows of predictions for 2 examples can't be scored"):
        complete_tags([[1]], GOLD)


def test_spans_of_bilou_count_as_those_of_bio():
    labels = ("O", "B-city", "L-city", "U-name", "I-city")
    # The spans of GOLD and FOUND; the end of the first city is missed, so that its B- stands alone.
    gold, found = [example(3, 0, 1, 2), example(1, 2)], [[3, 0, 1, 0], [1, 2]]
    task = Task("a", Goal.TAGS, labels, METRICS[0], METRICS[0], {}, "", 8, other_metrics=METRICS[1:])
    assert score_task(task, found, gold)["entity_f1"] == pytest.approx(100 * 2 / 3)
    assert score_entities(found, gold, labels)["city"] == EntityScore(50.0, 50.0, 50.0, 2)
