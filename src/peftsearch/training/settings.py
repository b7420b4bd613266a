"""How to train; the names are those of `transformers.TrainingArguments`. No torch here, so that --help is quick."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import TrainingArguments


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of one training, used alike by the search and by the retraining.

    Args:
        learning_rate: peak rate of LoRA; every kind has its own multiple of it.
        num_train_epochs: passes over the training set; the search plans as many over its half of it.
        per_device_train_batch_size: examples per step and device.
        per_device_eval_batch_size: examples per evaluation step and device.
        gradient_accumulation_steps: forward passes per optimizer step.
        lr_scheduler_type: "linear", "cosine", "constant" or another schedule of transformers.
        warmup_steps: steps of rising rate; a share of all steps if below 1.
        weight_decay: decoupled weight decay of AdamW.
        max_grad_norm: gradients are clipped to this norm.
        max_seq_length: tokens kept of an example; 0 takes the task's own limit, or the model's if that is smaller.
        bf16: "auto" uses bfloat16 where the device has it natively (GPUs); "true" or "false" decide.
        gradient_checkpointing: trade time for memory.
        save_steps: optimizer steps between two checkpoints, from which --resume goes on; 0 saves only when stopped.
        save_total_limit: checkpoints kept of each training while it runs.
        report_to: "tensorboard", "wandb", "trackio", "mlflow" or "none"; search and trainings report, trials do not.
    """

    learning_rate: float = 1e-3
    num_train_epochs: float = 5.0
    per_device_train_batch_size: int = 32
    per_device_eval_batch_size: int = 64
    gradient_accumulation_steps: int = 1
    lr_scheduler_type: str = "linear"
    warmup_steps: float = 0.0
    weight_decay: float = 1e-4
    max_grad_norm: float = 2.0
    max_seq_length: int = 0
    bf16: str = "auto"
    gradient_checkpointing: bool = False
    save_steps: int = 50
    save_total_limit: int = 2
    report_to: str = "none"


def planned_steps(num_examples: int, settings: "TrainingSettings | TrainingArguments", epochs: float) -> int:
    """Optimizer steps of `epochs` passes over `num_examples`, at least one."""
    batch = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
    return max(1, math.ceil(math.ceil(num_examples / batch) * epochs))
