"""What a causal model writes after prompts, greedily: the format of its answers to rows without completions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from peftsearch.tasks.encoded import EncodedDataset, pad_rows
from peftsearch.tasks.language_model import LanguageModelFormat
from peftsearch.tasks.task import Example


@dataclass(eq=False)
class CompletionFormat(LanguageModelFormat):
    """The task format that asks a causal model for the rest of each row.

    Of a prompt that is too long the last tokens are read. One without tokens begins with the tokenizer's first token,
    as transformers' own generation does. Arguments are those of `LanguageModelFormat`.
    """

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise the prompts; there are no labels."""
        prompts = self.reader.ask(examples)
        num_truncated = sum(len(ids) > self.max_length for ids in prompts)
        self.num_truncated += num_truncated
        kept = [ids[-self.max_length :] or [self._first_token] for ids in prompts]
        columns = {"input_ids": kept, "attention_mask": [[1] * len(ids) for ids in kept]}
        return EncodedDataset(columns, [()] * len(kept), num_truncated=num_truncated)

    @property
    def _first_token(self) -> int:
        """With what a text of nothing begins: the token of beginnings, or of ends, which stands between texts."""
        tokenizer: Any = self.tokenizer
        found = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        return next(token for token in found if token is not None)

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a batch that is padded on the left, so that every row goes on at the same place.

        Shape:
            token columns: (batch, tokens).
        """
        width = max(len(feature["input_ids"]) for feature in features)
        fill = {"input_ids": self.tokenizer.pad_token_id, "attention_mask": 0}
        return {
            name: pad_rows([f[name][::-1] for f in features], width=width, fill=value).flip(1)
            for name, value in fill.items()
        }

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> list[str]:
        """Write on after each prompt, the likeliest token each time, until an end or the limit.

        A text ends with a token that ended the answers in training, or with one of the model's own.
        """
        return complete(model, batch, self.tokenizer, max_new_tokens=self.max_new_tokens, ends=self._ends)

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        """The tokens each of which ends a text, found once for all batches."""
        return self.reader.end_tokens


def complete(
    model: Any, batch: Mapping[str, Tensor], tokenizer: Any, *, max_new_tokens: int, ends: Sequence[int]
) -> list[str]:
    """Write on after prompts, the likeliest token each time.

    Args:
        model: of transformers, or peft's around one.
        batch: prompts, padded on the left.
        tokenizer: the model's.
        max_new_tokens: of each text, as far as the model has positions.
        ends: tokens each of which ends a text, beside those of the model's own settings.

    Returns:
        the text of each row after its prompt, without special tokens and the white space around it.
    """
    width = batch["input_ids"].shape[1]
    own = model.generation_config.eos_token_id
    ends = list(dict.fromkeys((*ends, *(own if isinstance(own, list) else [own] if own is not None else []))))
    ids = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=_room(model, width, max_new_tokens),
        do_sample=False,
        num_beams=1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=ends,
    )
    written = [_before_end(row, ends) for row in ids[:, width:].tolist()]
    return [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


def _before_end(ids: list[int], ends: Sequence[int]) -> list[int]:
    """The tokens before the first that ends a text; an end need not be a special token, which decoding would drop."""
    return ids[: next((i for i, token in enumerate(ids) if token in ends), len(ids))]


def _room(model: Any, width: int, wanted: int) -> int:
    """Tokens that may be written after so many, by the model's positions; at least one."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return wanted if not positions or positions < 0 else max(1, min(wanted, positions - width))
