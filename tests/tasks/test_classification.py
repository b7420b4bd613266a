"""The head over the fields: texts, padding, truncation, predictions."""

import math

import pytest
import torch

from peftsearch.errors import DataError, ModelError
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.task import Example, Goal, Task


def _task(examples, goal=Goal.CLASSIFICATION, labels=("no", "yes"), metric="accuracy"):
    splits = dict.fromkeys(("train", "validation", "test"), tuple(examples))
    return Task("toy", goal, labels if goal is Goal.CLASSIFICATION else (), metric, metric, splits, "all", 64)


def _form(task, tokenizer, max_length=64):
    return make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=False, max_length=max_length)


def _examples(*texts, target=1):
    return [Example(fields=tuple((f"f{i}:", part) for i, part in enumerate(text)), target=target) for text in texts]


def _text(tokenizer, row):
    return "".join(tokenizer.convert_ids_to_tokens(row["input_ids"]))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (("ab",), "<cls>ab<sep>"),
        (("ab", "c"), "<cls>ab<sep>c<sep>"),
        (("ab", "c", "d"), "<cls>ab<sep>c d<sep>"),
    ],
)
def test_encoders_read_one_field_alone_and_more_as_a_pair(encoder_tokenizer, fields, text):
    examples = _examples(fields)
    row = _form(_task(examples), encoder_tokenizer).encode(examples)[0]
    assert _text(encoder_tokenizer, row) == text
    assert row["length"] == len(row["input_ids"])
    assert sum(row["token_type_ids"]) == (0 if len(fields) == 1 else len(" ".join(fields[1:])) + 1)


def test_tokenizers_that_mark_no_pairs_get_a_line_break(plain_tokenizer, decoder_tokenizer):
    examples = _examples(("ab", "c"))
    assert _text(plain_tokenizer, _form(_task(examples), plain_tokenizer).encode(examples)[0]) == "ab\nc</s>"
    assert _text(decoder_tokenizer, _form(_task(examples), decoder_tokenizer).encode(examples)[0]) == "ab\nc"


def test_truncation_shortens_the_longer_text(encoder_tokenizer, decoder_tokenizer):
    examples = _examples(("a" * 30, "query"))
    encoded = _form(_task(examples), decoder_tokenizer, max_length=12).encode(examples)
    assert _text(decoder_tokenizer, encoded[0]) == "aaaaaa\nquery"
    encoded = _form(_task(examples), encoder_tokenizer, max_length=13).encode(examples)
    assert _text(encoder_tokenizer, encoded[0]) == "<cls>aaaaa<sep>query<sep>"


def test_batches_are_padded_to_a_multiple_of_8_or_the_limit(encoder_tokenizer):
    examples = _examples(("abc",), ("abcdefgh",))
    task_format = _form(_task(examples), encoder_tokenizer)
    batch = task_format.collate(list(task_format.encode(examples)))
    assert batch["input_ids"].shape == (2, 16)
    assert batch["attention_mask"].sum(1).tolist() == [5, 10]
    assert batch["input_ids"][0, 5:].tolist() == [0] * 11
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
    short = _form(_task(examples), encoder_tokenizer, max_length=12)
    assert short.collate(list(short.encode(examples)))["input_ids"].shape == (2, 12)


def test_truncated_examples_are_counted_and_logged(encoder_tokenizer, caplog):
    # With two special tokens 8 letters fill 10 tokens exactly; 9 don't fit.
    examples = _examples(("a" * 9,), ("a" * 8,), ("a" * 30,))
    task_format = _form(_task(examples), encoder_tokenizer, max_length=10)
    encoded = task_format.encode(examples)
    assert encoded.lengths == [10, 10, 10]
    assert encoded.num_truncated == task_format.num_truncated == 2
    assert "2 of 3 examples were longer than 10 tokens and were truncated" in caplog.text


def test_classes_are_those_of_the_largest_logit(encoder_tokenizer, tiny_bert):
    examples = _examples(("abc",), ("xyz!",))
    task_format = _form(_task(examples, labels=("a", "b", "c")), encoder_tokenizer)
    model = tiny_bert(task_format.head.num_labels, task_format.head.problem_type)
    batch = task_format.collate(list(task_format.encode(examples)))
    with torch.inference_mode():
        logits = [model(torch.tensor([encoder_tokenizer(e.fields[0][1])["input_ids"]])).logits[0] for e in examples]
        probabilities = task_format.predict(model, batch)
    assert [row.index(max(row)) for row in probabilities] == [int(row.argmax()) for row in logits]
    for found, row in zip(probabilities, logits, strict=True):
        odds = [math.exp(value) for value in row.tolist()]
        # Padding changes the last digits of the logits.
        assert found == pytest.approx([value / sum(odds) for value in odds], abs=1e-6)
    with torch.inference_mode():
        assert torch.isfinite(model(**batch).loss)


def test_regression_labels_and_predictions_are_numbers(encoder_tokenizer, tiny_bert):
    examples = [*_examples(("abc",), target=2.5), *_examples(("x",), target=1)]
    task_format = _form(_task(examples, goal=Goal.REGRESSION, metric="pearson"), encoder_tokenizer)
    assert (task_format.head.num_labels, task_format.head.problem_type) == (1, "regression")
    batch = task_format.collate(list(task_format.encode(examples)))
    assert batch["labels"].tolist() == [2.5, 1.0] and batch["labels"].dtype == torch.float32
    with torch.inference_mode():
        predictions = task_format.predict(tiny_bert(1, "regression"), batch)
    assert all(isinstance(prediction, float) for prediction in predictions)
    assert task_format.score([5.0, 2.0], examples) == {"pearson": pytest.approx(100.0)}


_FIELDS = (("query:", "@placeholder left."), ("entities:", "Ann, Bob"), ("passage:", "Ann met Bob."))
_QUERIES = [
    Example(_FIELDS, ("Ann",), candidates=("Ann", "Bob")),
    Example(_FIELDS, ("Ann", "Bob"), candidates=("Ann", "Bob", "Eve")),
]


def test_a_free_answer_is_a_yes_or_no_row_for_each_candidate(encoder_tokenizer, tiny_bert):
    task_format = _form(_task(_QUERIES, goal=Goal.ANSWER, metric="exact_match"), encoder_tokenizer)
    encoded = task_format.encode(_QUERIES)
    assert _text(encoder_tokenizer, encoded[1]) == "<cls>Ann met Bob.<sep>Bob left.<sep>"
    assert [row["labels"] for row in encoded] == [1, 0, 1, 1, 0]
    with torch.inference_mode():
        predictions = task_format.predict(
            tiny_bert(2, task_format.head.problem_type), task_format.collate(list(encoded))
        )
    assert all(0 <= probability <= 1 for probability in predictions)


def test_the_most_probable_candidate_is_the_answer(encoder_tokenizer):
    task_format = _form(_task(_QUERIES, goal=Goal.ANSWER, metric="exact_match"), encoder_tokenizer)
    assert task_format.score([0.2, 0.1, 0.3, 0.4, 0.9], _QUERIES) == {"exact_match": 50.0}
    with pytest.raises(DataError, match="2 predictions for 5 candidates"):
        task_format.score([0.2, 0.1], _QUERIES)


def test_a_tokenizer_without_pad_token_is_refused(encoder_tokenizer):
    import copy

    tokenizer = copy.deepcopy(encoder_tokenizer)
    tokenizer.pad_token = None
    examples = _examples(("abc",))
    task_format = _form(_task(examples), tokenizer)
    with pytest.raises(ModelError, match="no pad token"):
        task_format.collate(list(task_format.encode(examples)))


def test_a_limit_without_room_for_text_is_refused(encoder_tokenizer):
    with pytest.raises(DataError, match="max_length is 2"):
        _form(_task(_examples(("a",))), encoder_tokenizer, max_length=2)
