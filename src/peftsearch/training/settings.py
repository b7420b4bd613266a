"""Training settings, named as in `transformers.TrainingArguments`. No torch here, so that --help is quick."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from peftsearch.names import split_names
from peftsearch.settings import (
    ABOVE_ZERO,
    SHARE_BELOW_ONE,
    Limit,
    SettingError,
    Settings,
    at_least,
    limited,
    one_of,
    require,
)

if TYPE_CHECKING:
    from transformers import TrainingArguments

# Schedules of transformers that need no settings of their own.
_SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)

# The learning rate that each training finds for itself.
AUTO = "auto"
_RATE = Limit(
    lambda value: value == AUTO or (not isinstance(value, str) and ABOVE_ZERO.holds(value)),
    "'auto' or a number above 0",
)

# Settings that change nothing in a training's result, by their full names.
HOW_TO_TRAIN = ("training.save_steps", "training.save_total_limit", "training.ddp_timeout", "training.report_to")


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """Settings of one training, used alike by the search and by the retraining.

    Args:
        learning_rate: peak rate of LoRA; every kind has its own multiple of it. "auto" finds it for each training: a
            few rates start, and by their losses on validation all but one leave early.
        lora_b_rate: rate of LoRA's B as a multiple of A's (LoRA+).
        average_last: share of the steps at the end whose weights are averaged; the average is the result if no epoch
            is better on validation.
        head_start: "probe" fits a new task head to the frozen model before searches and trainings; "fresh" starts
            with it as drawn.
        class_weights: "balanced" weighs each class by n / (k n_c), n_c of n training examples and k classes, in every
            loss of search, training and head probe; "none" weighs all examples alike.
        early_stopping: a training stops after so many epochs without a better validation score; 0 trains to the end. A
            search for its rate comes first, and the schedule stays that of all epochs.
        num_train_epochs: passes over the training set; the search plans as many over its half of it.
        per_device_train_batch_size: examples per step and device.
        per_device_eval_batch_size: examples per evaluation step and device.
        gradient_accumulation_steps: forward passes per optimizer step.
        lr_scheduler_type: "linear", "cosine", "constant" or another schedule of transformers.
        warmup_steps: steps of rising rate; a share of all steps if below 1.
        weight_decay: decoupled weight decay of AdamW.
        max_grad_norm: gradients are clipped to this norm.
        completion_only: of prompts with completions, the loss counts the completions alone.
        assistant_only: of chats, the loss counts the assistant's turns alone, which the chat template must mark with
            {% generation %}.
        packing: of whole texts, training rows are the texts joined and cut where a row is full.
        max_seq_length: tokens kept of an example; 0 takes the task's own limit, or the model's if that is smaller.
        max_target_length: tokens kept of a text that the model learns to write, its end included; 0 takes 128, or the
            model's limit if that is smaller.
        max_new_tokens: tokens of a text that the model writes; 0 takes as many as of one that it learns.
        bf16: "auto" uses bfloat16 where the device has it natively (GPUs); "true" or "false" decide.
        trainable_tokens: added tokens, separated by commas, whose rows of the embeddings and of the layer for the next
            token are trained beside the modules; they count in the budget (docs/formats.md).
        gradient_checkpointing: trade time for memory.
        load_in_4bit: quantise the frozen model to 4 bits (bitsandbytes, NF4, constants quantised too); `quantization`
            gives other ways.
        load_in_8bit: quantise the frozen model to 8 bits (bitsandbytes).
        save_steps: optimizer steps between two checkpoints, from which --resume goes on; 0 saves only when stopped.
        save_total_limit: checkpoints kept of each training while it runs.
        ddp_timeout: of several processes, seconds that one waits for the others before it gives up.
        report_to: "tensorboard", "wandb", "trackio", "mlflow" or "none"; search and trainings report, trials do not.
    """

    PREFIX: ClassVar[str] = "training."

    learning_rate: float | str = limited(AUTO, _RATE)
    lora_b_rate: float = limited(1.0, ABOVE_ZERO)
    average_last: float = limited(0.0, SHARE_BELOW_ONE)
    head_start: str = limited("probe", one_of("probe", "fresh"))
    class_weights: str = limited("none", one_of("none", "balanced"))
    early_stopping: int = limited(0, at_least(0))
    num_train_epochs: float = limited(5.0, ABOVE_ZERO)
    per_device_train_batch_size: int = limited(32, at_least(1))
    per_device_eval_batch_size: int = limited(64, at_least(1))
    gradient_accumulation_steps: int = limited(1, at_least(1))
    lr_scheduler_type: str = limited("linear", one_of(*_SCHEDULES))
    warmup_steps: float = limited(0.0, at_least(0))
    weight_decay: float = limited(1e-4, at_least(0))
    max_grad_norm: float = limited(2.0, at_least(0))
    completion_only: bool = True
    assistant_only: bool = False
    packing: bool = False
    max_seq_length: int = limited(0, at_least(0))
    max_target_length: int = limited(0, at_least(0))
    max_new_tokens: int = limited(0, at_least(0))
    bf16: str = limited("auto", one_of("auto", "true", "false"))
    trainable_tokens: str = ""
    gradient_checkpointing: bool = False
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    save_steps: int = limited(50, at_least(0))
    save_total_limit: int = limited(2, at_least(1))
    ddp_timeout: int = limited(1800, at_least(1))
    report_to: str = limited("none", one_of("none", "tensorboard", "wandb", "trackio", "mlflow"))

    @property
    def token_names(self) -> list[str]:
        """The tokens whose rows are trained, in the order given, each once."""
        return list(dict.fromkeys(split_names(self.trainable_tokens)))

    @property
    def given_rates(self) -> list[float]:
        """The learning rate; none if it is "auto"."""
        return [] if self.learning_rate == AUTO else [self.rate]

    @property
    def rate(self) -> float:
        """The learning rate as a number, which must have been found if it was "auto"."""
        return float(self.learning_rate)


def planned_steps(num_examples: int, settings: "TrainingSettings | TrainingArguments", epochs: float) -> int:
    """Optimizer steps of a training, at least one.

    Args:
        num_examples: of the training set.
        settings: batch size and gradient accumulation.
        epochs: passes over the training set.
    """
    return max(1, math.ceil(math.ceil(num_examples / examples_of_step(settings)) * epochs))


def examples_of_step(settings: "TrainingSettings | TrainingArguments") -> int:
    """Training examples of an optimizer step."""
    return settings.per_device_train_batch_size * settings.gradient_accumulation_steps


def read_rates(grid: str) -> list[float]:
    """Read the learning rates of a comma-separated grid, in ascending order; none from an empty one.

    Raises:
        SettingError: if one is not a number above 0.
    """
    if not grid.strip():
        return []
    try:
        rates = sorted({float(rate) for rate in grid.split(",")})
    except ValueError as error:
        raise SettingError(f"learning_rate_grid is '{grid}', but must be numbers such as '1e-3,3e-3'.") from error
    require(all(map(ABOVE_ZERO.holds, rates)), "learning_rate_grid", grid, "rates above 0")
    return rates
