"""Rows of the embeddings that are trained beside the modules: those of tokens which a user has added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftsearch.errors import BudgetError, ModelError


@dataclass(frozen=True)
class TokenRows:
    """The rows of some tokens in the embeddings, and in the layer for the next token unless it is tied to them.

    Args:
        tokens: as the tokenizer writes them.
        indices: name of a layer -> numbers of its rows, ascending: peft's `trainable_token_indices`.
        num_parameters: of all these rows.
    """

    tokens: tuple[str, ...] = ()
    indices: Mapping[str, list[int]] = field(default_factory=dict)
    num_parameters: int = 0

    def __bool__(self) -> bool:
        return bool(self.indices)

    @property
    def described(self) -> str:
        """Which rows are trained, and what they cost, for the user."""
        tokens, layers = ", ".join(self.tokens), " and ".join(self.indices)
        return f"the rows of {tokens} in {layers} are trained: {self.num_parameters:,} parameters of the budget"

    def left_of(self, budget: int) -> int:
        """The parameters that the rows leave to modules.

        Args:
            budget: of both together.

        Raises:
            BudgetError: if nothing is left.
        """
        if self and budget <= self.num_parameters:
            raise BudgetError(
                f"A budget of {budget:,} parameters is used up by the rows of the trained tokens, which have "
                f"{self.num_parameters:,}. Raise the budget, or name fewer tokens in --training.trainable_tokens."
            )
        return budget - self.num_parameters


def find_token_rows(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str], *, name: str
) -> TokenRows:
    """Find the rows of tokens.

    Args:
        model: with or without weights.
        tokenizer: the model's.
        tokens: as the tokenizer writes them, at least one.
        name: of the model, for messages.

    Raises:
        ModelError: for a token that the tokenizer lacks, or layers of which no single rows can be trained.
    """
    vocabulary = tokenizer.get_vocab()
    for token in tokens:
        if token not in vocabulary:
            raise ModelError(
                f"training.trainable_tokens names '{token}', which is no token of the tokenizer of '{name}'. Add it "
                "with tokenizer.add_tokens, call model.resize_token_embeddings(len(tokenizer)), save both in one "
                "folder, and give that as --model."
            )
    ids = sorted({vocabulary[token] for token in tokens})
    layers = _layers_with_rows(model, name)
    names = {module: path for path, module in model.named_modules()}
    indices = {names[layer]: ids for layer in layers}
    return TokenRows(tuple(tokens), indices, len(ids) * sum(layer.weight.shape[1] for layer in layers))


def _layers_with_rows(model: PreTrainedModel, name: str) -> list[nn.Embedding | nn.Linear]:
    """The embeddings, and the layer for the next token if it has weights of its own."""
    outputs = model.get_output_embeddings()
    try:
        inputs = model.get_input_embeddings()
    except NotImplementedError:  # CANINE's: it hashes any character.
        inputs = None
    if not isinstance(inputs, nn.Embedding):
        raise _cannot(name, "has no table of embeddings")
    # peft's layer for rows would leave it out.
    if getattr(outputs, "bias", None) is not None:
        raise _cannot(name, "has a bias at its layer for the next token")
    is_tied = model.config.to_dict().get("tie_word_embeddings", False)
    return [inputs] if is_tied or not isinstance(outputs, nn.Linear) else [inputs, outputs]


def _cannot(name: str, what: str) -> ModelError:
    return ModelError(
        f"'{name}' {what}, where peft cannot train the rows of single tokens. Leave training.trainable_tokens out."
    )
