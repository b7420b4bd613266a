"""The converter of spans: windows, labels, answers and losses, followed by hand."""

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from peftsearch.errors import DataError, DivergedError
from peftsearch.task_head import TaskHead
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.span_choice import Answer, WindowSpans, best_spans, choose_answer
from peftsearch.tasks.span_rules import SpanRules
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.training.micro_batches import cut, num_items

QUESTION = "q?"
CONTEXT = "abcdefghijklmnop"


def make(tokenizer, rules=None, *, max_length=16):
    task = Task(
        *("letters", Goal.SPANS, (), "span_f1", "span_f1", {}, "", 16),
        other_metrics=("span_exact_match",),
        span_rules=rules,
    )
    return make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=False, max_length=max_length)


def example(*spans: tuple[int, int], context: str = CONTEXT, question: str = QUESTION) -> Example:
    return Example((("question:", question), ("context:", context)), spans)


@pytest.fixture
def task_format(encoder_tokenizer):
    return make(encoder_tokenizer)


def text_of(row, context=CONTEXT):
    """The characters of the context that a row has."""
    return "".join(context[a:b] for a, b in zip(row["char_starts"], row["char_ends"], strict=True) if a >= 0)


def test_a_long_context_is_read_in_windows_that_overlap(task_format, caplog):
    caplog.set_level(logging.INFO)
    encoded = task_format.encode([example((2, 4)), example((0, 1), context="xy")])
    # <cls> q ? <sep> ... <sep>: 11 of 16 tokens are left, of which 16 // 3 = 5 are those of the window before.
    assert [text_of(encoded[i]) for i in (0, 1)] == ["abcdefghijk", "ghijklmnop"]
    assert [row["place"] for row in encoded] == [[0, 0], [1, 0], [0, 0]]
    assert "2 contexts are read in 3 windows" in caplog.text
    assert task_format.head == TaskHead("QUESTION_ANS", 2, None, ("LABEL_0", "LABEL_1"))


def test_the_answer_is_labelled_where_all_of_it_is_and_no_answer_elsewhere(task_format):
    # The context begins at token 4 of the first window, and at its seventh letter, g, in the second.
    encoded = task_format.encode([example((2, 4)), example((7, 9)), example((10, 13)), example()])
    labels = [row["labels"] for row in encoded]
    assert labels == [[6, 7], [0, 0], [11, 12], [5, 6], [0, 0], [8, 10], [0, 0], [0, 0]]


def test_answers_that_no_window_holds_are_counted(task_format, caplog):
    task_format.encode([example((3, 14)), example((2, 4))])
    assert "1 of 2 answers are in no window of their context as a whole" in caplog.text


def test_long_questions_are_cut_and_counted(task_format):
    encoded = task_format.encode([example((0, 1), question="abcdefgh", context="xy")])
    # A third of 16 tokens, then both letters of the context between special tokens.
    assert len(encoded[0]["input_ids"]) == 5 + 2 + 3 and task_format.num_truncated == 1


@pytest.mark.parametrize("overlap", [7, 400])
def test_windows_cannot_share_all_they_have(encoder_tokenizer, overlap):
    # 16 tokens less 5 of a question, 3 special ones and 2 of their own are 6.
    with pytest.raises(
        DataError, match=rf"context_overlap is {overlap}, but windows of 16 tokens, .* share 1 to 6 tokens"
    ):
        make(encoder_tokenizer, SpanRules(overlap))
    make(encoder_tokenizer, SpanRules(6)).encode([example((0, 1), question="abcdefgh")])


def logits_for(batch, *spans):
    """Logits of which each row's start and end are at the tokens given, and 0 elsewhere."""
    start, end = torch.zeros(2, *batch["input_ids"].shape)
    for row, (first, last, height) in enumerate(spans):
        start[row, first] = end[row, last] = height
    return SimpleNamespace(start_logits=start, end_logits=end, loss=torch.tensor(0.0))


def test_the_answer_is_the_likeliest_span_of_all_windows(task_format):
    examples = [example((10, 13)), example((0, 1), context="xy")]
    encoded = task_format.encode(examples)
    batch = task_format.collate(list(encoded))
    # "bc" in the first window with 4, "klm" in the second with 6; question and special tokens don't count.
    outputs = logits_for(batch, (5, 6, 2.0), (8, 10, 3.0), (4, 4, 1.0))
    outputs.start_logits[:, :4] = outputs.end_logits[:, :4] = 9.0
    predictions = task_format.predict(lambda **_: outputs, batch)
    answers = task_format.of_examples(predictions, examples)
    assert [answer.text for answer in answers] == ["klm", "x"]
    assert task_format.score(predictions, examples) == {"span_f1": 100.0, "span_exact_match": 100.0}
    # "xy": of x, y and xy the first has 2, the second 0 and the third 1.
    weights = [math.exp(score) for score in (2, 0, 1)]
    assert answers[1].probability == pytest.approx(weights[0] / sum(weights))
    with pytest.raises(DataError, match="Windows of 2 contexts for 1 questions"):
        task_format.score(predictions, examples[:1])


def test_spans_are_no_longer_than_the_limit_and_do_not_end_before_their_start():
    start, end = torch.tensor([[0.0, 3.0, 0.0, 0.0]]), torch.tensor([[5.0, 0.0, 1.0, 4.0]])
    found = best_spans(start, end, max_length=2)[0]
    by_hand = {(i, j): start[0, i].item() + end[0, j].item() for i in range(4) for j in range(i, min(i + 2, 4))}
    assert {(i, j): score for i, j, score in found} == by_hand
    assert found[0] == (0, 0, 5.0)


def test_no_answer_wins_only_where_it_is_likelier_in_every_window():
    first = WindowSpans(0, ((0, 2),), (3.0,), no_answer=4.0)
    second = WindowSpans(1, ((4, 6),), (1.0,), no_answer=2.0)
    can_be = SpanRules(can_be_unanswered=True)
    assert choose_answer([first, second], CONTEXT, can_be).text == "ab"
    assert choose_answer([first], CONTEXT, can_be).text == ""
    assert choose_answer([first], CONTEXT, SpanRules()) == Answer("ab", 1.0)
    weights = [math.exp(score) for score in (3.0, 1.0, 2.0)]
    assert choose_answer([first, second], CONTEXT, can_be).probability == pytest.approx(weights[0] / sum(weights))


def test_a_span_of_two_windows_counts_once():
    windows = [WindowSpans(i, ((0, 2), (3, 4)), scores, 0.0) for i, scores in enumerate([(2.0, 1.0), (1.0, 1.5)])]
    found = choose_answer(windows, CONTEXT, SpanRules())
    assert found.text == "ab" and found.probability == pytest.approx(math.exp(2.0) / (math.exp(2.0) + math.exp(1.5)))


def test_scores_are_those_of_squad(task_format):
    context = "the Old Norse king, Harald"
    # Several gold answers, of which the nearest counts; articles, case and punctuation do not.
    examples = [
        example((0, 18), (8, 18), context=context),
        example((20, 26), context=context),
        example(context=context),
    ]
    windows = [
        WindowSpans(0, (span,), (1.0,), none) for span, none in (((4, 19), 0.0), ((14, 26), 0.0), ((20, 26), 0.0))
    ]
    # "Old Norse king," equals "the Old Norse king". "king, Harald" has 1 of 2 words of "Harald": 2 * 1/2 * 1 / (3/2).
    # The third has no answer, and one is given.
    scores = task_format.score(windows, examples)
    assert scores == pytest.approx({"span_f1": 100 * (1 + 2 / 3 + 0) / 3, "span_exact_match": 100 / 3})


def test_the_loss_of_a_row_is_the_mean_of_its_start_and_end(task_format):
    batch = task_format.collate(list(task_format.encode([example((2, 4)), example((10, 13))])))
    outputs = SimpleNamespace(
        start_logits=torch.randn(4, batch["input_ids"].shape[1]),
        end_logits=torch.randn(4, batch["input_ids"].shape[1]),
    )
    found = task_format.row_losses(outputs, batch)
    first = cross_entropy(outputs.start_logits[0], torch.tensor(6)) + cross_entropy(
        outputs.end_logits[0], torch.tensor(7)
    )
    torch.testing.assert_close(found[0], first / 2)


def test_the_model_computes_the_mean_of_these_losses_and_micro_batches_add_up(task_format, encoder_tokenizer):
    from transformers import BertConfig, BertForQuestionAnswering

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    model = BertForQuestionAnswering(BertConfig(vocab_size=len(encoder_tokenizer), **sizes)).eval()
    batch = task_format.collate(list(task_format.encode([example((2, 4)), example((0, 1), context="xy")])))
    outputs = task_format.forward(model, batch)
    torch.testing.assert_close(task_format.row_losses(outputs, batch).mean(), outputs.loss)

    def gradient(parts):
        model.zero_grad()
        for part in parts:
            loss = task_format.mean_loss(task_format.forward(model, part), part)
            (loss * num_items(part) / num_items(batch)).backward()
        found = model.qa_outputs.weight.grad
        assert found is not None
        return found.clone()

    # Of 3 windows 1 and 2, so that a mean of means would be another one.
    torch.testing.assert_close(gradient(cut(batch, 2)), gradient([batch]))


def test_outputs_that_are_no_numbers_are_refused(task_format):
    batch = task_format.collate(list(task_format.encode([example((0, 1), context="xy")])))
    outputs = logits_for(batch, (4, 4, math.nan))
    with pytest.raises(DivergedError, match="outputs are not finite"):
        task_format.predict(lambda **_: outputs, batch)
