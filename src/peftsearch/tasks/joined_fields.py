"""The fields of an example as the one or two texts that encoders and decoders read."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from peftsearch.tasks.reading import Fields


def join_fields(rows: Sequence[Fields], tokenizer: PreTrainedTokenizerBase) -> tuple[list[str], list[str] | None]:
    """Make the first and second texts of all rows: the first field and all later ones.

    Args:
        rows: the fields of each row.
        tokenizer: the model's, which puts something between two texts or does not.

    Returns:
        the first texts, and the second ones; None instead of these for rows of one field.
    """
    texts = [fields[0][1] for fields in rows]
    if not rows or len(rows[0]) == 1:
        return texts, None
    pairs = [" ".join(text for _, text in fields[1:]) for fields in rows]
    num_single = tokenizer.num_special_tokens_to_add(pair=False)
    num_pair = tokenizer.num_special_tokens_to_add(pair=True)
    if tokenizer.sep_token is not None and num_pair > num_single:
        return texts, pairs
    # Tokenizers of decoders put nothing between two texts, so a line break does. Two texts are passed as a pair
    # where the tokenizer takes pairs, because then truncation shortens the longer one and not always the second.
    if num_pair >= num_single:
        return texts, [f"\n{pair}" for pair in pairs]
    return [f"{text}\n{pair}" for text, pair in zip(texts, pairs)], None
