"""Task formats: how a model reads the examples of a task, and how its outputs become predictions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from transformers import BaseImageProcessor, PreTrainedModel, PreTrainedTokenizerBase

from peftsearch.errors import ModelError
from peftsearch.task_head import TaskHead
from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.error_report import ErrorReport
from peftsearch.tasks.span_choice import WindowSpans
from peftsearch.tasks.target_scale import AS_GIVEN, TargetScale
from peftsearch.tasks.task import Example, Task
from peftsearch.tasks.token_scores import TokenScore

# The probability of every class or label, a number (or the probability of a candidate), a text, the tag of every word
# read, the likeliest spans of a window, or the score of the tokens of a row.
Prediction = Sequence[float] | float | str | Sequence[int] | WindowSpans | TokenScore


class TaskFormat(ABC):
    """A converter of examples to batches, and of a model's outputs to losses, predictions and scores.

    An example may become several rows (ReCoRD: one for each candidate or each gold answer; a long context: one for
    each window). Rows keep the order of the examples, and there is one prediction for each row.

    Args:
        task: its goal, labels and metrics are used.
        tokenizer: the model's.
        max_length: tokens kept of a row.
        num_truncated: rows that were longer than the limit, over all calls of `encode`.
        choices: texts of which the likeliest is the answer; empty where a head answers, or a text is generated.
        class_weights: the weight of each class in the loss; empty where all examples count alike.
        scale: of a regression's targets in training.
        max_new_tokens: tokens of a text that the model writes; 0 for tasks without texts to write.
        threshold: least probability that gives one of several labels; None for other tasks.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    num_truncated: int
    choices: tuple[str, ...] = ()
    class_weights: tuple[float, ...] = ()
    scale: TargetScale = AS_GIVEN
    max_new_tokens: int = 0
    threshold: float | None = None

    @property
    @abstractmethod
    def head(self) -> TaskHead:
        """What the task asks of the model."""

    @abstractmethod
    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise examples, and warn of how many rows were truncated."""

    def encode_for_training(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise the training examples, whose rows may be joined and cut otherwise than those that are scored."""
        return self.encode(examples)

    def check_model(self, model: PreTrainedModel, name: str) -> None:
        """Refuse a model that does not take what the format encodes: a tokenizer with more tokens than embeddings.

        Args:
            model: with or without weights.
            name: of the model, for messages.

        Raises:
            ModelError: if it does not.
        """
        tokens = len(self.tokenizer)
        try:
            embeddings = model.get_input_embeddings()
        except NotImplementedError:  # CANINE's: it hashes any character.
            return
        rows = getattr(embeddings, "num_embeddings", tokens)
        if tokens > rows:
            raise ModelError(
                f"The tokenizer of '{name}' has {tokens:,} tokens, but the model has embeddings for {rows:,}. "
                "Call model.resize_token_embeddings(len(tokenizer)), save both in one folder, give that as --model "
                "and name the added tokens in --training.trainable_tokens, which trains their rows; or take the "
                "model's own tokenizer."
            )

    @property
    def saved_processor(self) -> BaseImageProcessor | None:
        """What is saved beside a trained model; None where the pretrained model's own is used."""
        return None

    @abstractmethod
    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a padded batch of items of an `EncodedDataset`.

        Returns:
            token columns (batch, tokens), or "pixel_values" (batch, channels, height, width), and "labels": (batch,),
            (batch, tokens) for tags and next tokens, (batch, labels) for several labels, (batch, 2) for the ends of a
            span, or (batch, target tokens) for text-to-text.
        """

    @abstractmethod
    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Sequence[Prediction]:
        """Make a prediction for each row of a batch.

        Args:
            model: already in evaluation mode; the caller disables gradients too.
            batch: of `collate`, on the model's device.
        """

    @abstractmethod
    def score(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> dict[str, float]:
        """Compute every metric of the task, in percent or in the unit of the labels; for those of texts `score_texts`.

        Args:
            predictions: one for each row of `encode(examples)`, in their order.
            examples: of one split.
        """

    def fitted(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> "TaskFormat":
        """The format with all that predictions of the validation split choose, such as a threshold.

        Args:
            predictions: one for each row of `encode(examples)`, in their order.
            examples: of the validation split.
        """
        return self

    def of_examples(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Sequence:
        """The prediction for each example, from those for its rows.

        Args:
            predictions: one for each row of `encode(examples)`, in their order.
            examples: of these rows.
        """
        return predictions

    def at_threshold(self, threshold: float | None) -> "TaskFormat":
        """The format with a threshold that was chosen before, as a run notes it; without one as it is."""
        return self

    @abstractmethod
    def row_losses(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of each row of a batch, times the weight of its class.

        Args:
            outputs: of the model on the batch.
            batch: of `collate`.

        Returns:
            (batch,).
        """

    def inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the model reads of a batch of `collate`: all but its labels."""
        return {name: tensor for name, tensor in batch.items() if name != "labels"}

    def passes(self, batch: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """Cut a batch into parts that pass through a model one after the other, where one pass would take too much."""
        yield dict(batch)

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Any:
        """The outputs of a model on a batch, with its loss."""
        return model(**batch)

    def mean_loss(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The mean loss of a batch: the model's own, with all that a method adds to it, as AdaLoRA does.

        Args:
            outputs: of the model on the batch, with loss and logits.
            batch: of `collate`.
        """
        return outputs["loss"]

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of each row of a batch, times the weight of its class.

        Args:
            model: already in evaluation mode; the caller disables gradients too.
            batch: of `collate`, on the model's device.

        Returns:
            (batch,).
        """
        return self.row_losses(self.forward(model, batch), batch)

    def guess_losses(self, train: Sequence, validation: Sequence) -> list[float] | None:
        """The losses of a model that knows nothing but the labels of the training set; None where nothing is known.

        Args:
            train: labels of the encoded training set.
            validation: labels of the encoded validation split.

        Returns:
            the loss of each row of the validation split.
        """
        return None

    def first_outputs(self, train: Sequence) -> list[float]:
        """The outputs that a fresh head starts near, whatever it reads; empty where they do not matter.

        They matter where one label is far more frequent than all others, as among tags: a head that starts with equal
        shares is worse than guessing for most of a short training.

        Args:
            train: labels of the encoded training set.
        """
        return []

    def describe_errors(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> ErrorReport:
        """Say where predictions are wrong, for the page of a run and its model card; empty where nothing is said.

        Args:
            predictions: one for each row of `encode(examples)`, in their order.
            examples: of one split.
        """
        return ErrorReport()

    def wanted_texts(self, examples: Sequence[Example]) -> list[str]:
        """The texts that a model should write, one for each example; none for tasks without texts to write."""
        return []

    def score_texts(self, texts: Sequence[str], examples: Sequence[Example]) -> dict[str, float]:
        """Compute the metrics of the task that read what a model writes, in percent; none where no metric does.

        Args:
            texts: predictions of `answering()`, one for each example.
            examples: of one split.
        """
        return {}

    def standardised(self, *, has_bias: bool) -> "TaskFormat":
        """The format for trainings, whose models see the targets of a regression with mean 0 and deviation 1.

        Args:
            has_bias: whether the head's last layer has a bias; without one the mean stays in the targets.

        Raises:
            DataError: for numbers that float32 cannot hold or tell apart.
        """
        return self

    def answering(self) -> "TaskFormat":
        """The format for rows without labels, whose predictions are the answers that a user wants to see."""
        return self

    def of_saved_models(self) -> "TaskFormat":
        """The format for saved models, which give the numbers of a regression in the user's units."""
        return self
