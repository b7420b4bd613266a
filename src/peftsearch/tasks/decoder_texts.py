"""What the decoder of an encoder-decoder learns and writes: targets as tokens, and texts by greedy decoding."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from peftsearch.tasks.encoded import IGNORED_LABEL, pad_inputs, pad_rows
from peftsearch.tasks.token_scores import TokenScore


class TargetTokens(NamedTuple):
    """The result of `tokenise_targets`.

    Args:
        ids: tokens of each target, an end token at the end.
        num_truncated: targets that were longer than the limit.
    """

    ids: list[list[int]]
    num_truncated: int


def tokenise_targets(texts: Sequence[str], *, tokenizer: PreTrainedTokenizerBase, max_length: int) -> TargetTokens:
    """Tokenise targets, each with an end token, which the decoder has to learn.

    Args:
        texts: targets.
        tokenizer: the model's.
        max_length: tokens kept of a target, before an end token that the tokenizer does not set itself.
    """
    if not texts:
        return TargetTokens([], 0)
    kept = _ids(texts, tokenizer, truncation=True, max_length=max_length)
    # Only targets that fill the limit can have been truncated, so only these are tokenised again.
    full = [text for text, ids in zip(texts, kept, strict=True) if len(ids) >= max_length]
    num_truncated = sum(len(ids) > max_length for ids in _ids(full, tokenizer)) if full else 0
    end = tokenizer.eos_token_id
    ended = [ids if not isinstance(end, int) or ids[-1:] == [end] else [*ids, end] for ids in kept]
    return TargetTokens(ended, num_truncated)


def _ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, **options: Any) -> list[list[int]]:
    return tokenizer(text_target=list(texts), verbose=False, **options)["input_ids"]


def collate_pairs(
    features: Sequence[Mapping[str, Any]], *, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> dict[str, Tensor]:
    """Make a padded batch of sources and targets.

    Args:
        features: items of an `EncodedDataset` whose labels are the tokens of targets.
        tokenizer: the model's.
        max_length: of sources, see `pad_inputs`.

    Shape:
        token columns: (batch, tokens); labels: (batch, target tokens), -100 after the end.
    """
    batch = pad_inputs(features, tokenizer=tokenizer, max_length=max_length)
    rows = [feature["labels"] for feature in features]
    return {**batch, "labels": pad_rows(rows, width=max(map(len, rows)), fill=IGNORED_LABEL)}


def score_targets(model: Any, batch: Mapping[str, Tensor]) -> list[TokenScore]:
    """Score the tokens of each target of a batch, the end token included.

    Args:
        model: an encoder-decoder model of transformers, or peft's around one.
        batch: of `collate_pairs`.
    """
    labels = batch["labels"]
    # Labels are not passed: the model's own loss is not needed, and a reloaded AdaLoRA of peft cannot compute it.
    logits = model(
        **{name: tensor for name, tensor in batch.items() if name != "labels"},
        decoder_input_ids=model.prepare_decoder_input_ids_from_labels(labels=labels),
        use_cache=False,
    ).logits
    # Row by row: the logits of a whole batch in float32 may not fit into memory.
    return [_score_row(*row) for row in zip(logits, labels, strict=True)]


def _score_row(logits: Tensor, labels: Tensor) -> TokenScore:
    counts = labels != IGNORED_LABEL
    logits, labels = logits[counts].float(), labels[counts]
    loss = cross_entropy(logits, labels, reduction="sum")
    return TokenScore(float(loss), len(labels), int((logits.argmax(-1) == labels).sum()))


def write_texts(
    model: Any, batch: Mapping[str, Tensor], *, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int
) -> list[str]:
    """Write a text for each source greedily; all else is as the model's generation_config.json says.

    Args:
        model: an encoder-decoder model of transformers, or peft's around one.
        batch: source texts, with `input_ids` and `attention_mask` (batch, tokens).
        tokenizer: the model's.
        max_new_tokens: of each text.
    """
    ids = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
    )
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
