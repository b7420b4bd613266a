"""Words as tokens: where each begins, by tokenizers whose tokens can be followed by hand."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertTokenizer, PreTrainedTokenizerFast

from peftsearch.errors import ModelError
from peftsearch.tasks.encoded_words import check_word_ids, tokenise_words
from peftsearch.testing import tiny_tokenizer


def pieces(unk: str | None = "[UNK]") -> BertTokenizer | PreTrainedTokenizerFast:
    """A tokenizer of word pieces: "unbelievable" has two, and of a lone variation selector it reads nothing."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##believable", "hello", "."]
    return BertTokenizer(vocab={name: i for i, name in enumerate(names)}, do_lower_case=True)


def test_the_first_piece_of_each_word_is_its_start():
    found = tokenise_words([["Hello", "unbelievable", "."], ["unbelievable"]], tokenizer=pieces(), max_length=16)
    # [CLS] hello un ##believable . [SEP], and [CLS] un ##believable [SEP].
    assert found.columns["input_ids"] == [[2, 7, 5, 6, 8, 3], [2, 5, 6, 3]]
    assert found.starts == [[1, 2, 4], [1]] and found.num_truncated == 0


@pytest.mark.parametrize("nothing", ["\ufe0f", "", " "])
def test_a_word_of_which_nothing_is_read_is_unknown(nothing):
    found = tokenise_words([["hello", nothing, "."], [nothing]], tokenizer=pieces(), max_length=16)
    assert found.columns["input_ids"] == [[2, 7, 1, 8, 3], [2, 1, 3]] and found.starts == [[1, 2, 3], [1]]


def test_words_beyond_the_limit_have_no_start_and_their_rows_are_counted(caplog):
    caplog.set_level(logging.WARNING)
    rows = [["hello", "unbelievable", "."], ["hello", "."], ["hello", "unbelievable"]]
    found = tokenise_words(rows, tokenizer=pieces(), max_length=4)
    # [CLS] hello un [SEP]: the last word of the third row lost its second piece only.
    assert found.starts == [[1, 2], [1, 2], [1, 2]] and found.num_truncated == 1
    assert "1 of 3 examples were longer than 4 tokens and were truncated" in caplog.text


def test_words_that_begin_with_their_space_are_read_as_in_a_text():
    tokenizer = tiny_tokenizer()
    found = tokenise_words([["ab", "c"]], tokenizer=tokenizer, max_length=16)
    assert found.columns["input_ids"] == tokenizer(["ab c"])["input_ids"]
    assert found.starts == [[0, 2]]


def test_no_rows_give_no_columns():
    assert tokenise_words([], tokenizer=pieces(), max_length=4).starts == []


def test_a_tokenizer_without_an_unknown_token_names_the_word():
    inner = Tokenizer(models.WordLevel({"<pad>": 0, "a": 1, "b": 2}, unk_token=None))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>")
    with pytest.raises(ModelError, match="reads nothing of the token ' ', and has no unknown token"):
        tokenise_words([["a", " "]], tokenizer=tokenizer, max_length=8)


def test_a_tokenizer_without_word_ids_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="is a Slow, which does not tell the words that its tokens are of"):
        check_word_ids(Slow())


WORDS = st.lists(
    st.one_of(st.text(max_size=6), st.sampled_from(["[SEP]", "</s>", "New York", "\u200d", "\x00"])), min_size=1
)


@pytest.mark.parametrize("tokenizer", [pieces(), tiny_tokenizer()], ids=["pieces", "bytes"])
@given(rows=st.lists(WORDS, min_size=1, max_size=4))
@settings(deadline=None)
def test_every_word_within_the_limit_has_a_start(tokenizer, rows):
    found = tokenise_words(rows, tokenizer=tokenizer, max_length=10_000)
    for words, starts, ids in zip(rows, found.starts, found.columns["input_ids"], strict=True):
        assert len(starts) == len(words) and starts == sorted(set(starts)) and starts[-1] < len(ids)
