"""Translation of a training's settings to transformers' `TrainingArguments`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import TrainingArguments
from transformers.utils import is_torch_bf16_gpu_available

from peftsearch.launcher import runs_on_cpus
from peftsearch.settings import SettingError
from peftsearch.training.settings import TrainingSettings


@dataclass(frozen=True)
class Phase:
    """Name, folder, seed and length of one training among those of a run.

    Args:
        name: shown beside its progress.
        folder: where the log goes.
        seed: of batches, dropout and sampling.
        max_steps: optimizer steps; 0 follows the settings' epochs.
        select_after_step: optimizer steps before which no epoch's weights may be kept.
        run: name of the run, which trackers show before that of the training.
        counts: key in the log's rows -> word, for counts on the progress line; see `ShowProgress`.
    """

    name: str
    folder: Path
    seed: int
    max_steps: int = 0
    select_after_step: int = 0
    run: str = ""
    counts: Mapping[str, str] = field(default_factory=dict)


def training_arguments(settings: TrainingSettings, phase: Phase) -> TrainingArguments:
    """Make the Trainer's arguments; the Trainer itself saves nothing, since its files are pickled."""
    return TrainingArguments(
        output_dir=str(phase.folder),
        learning_rate=settings.rate,
        num_train_epochs=settings.num_train_epochs,
        max_steps=phase.max_steps or -1,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        per_device_eval_batch_size=settings.per_device_eval_batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=uses_bf16(settings.bf16),
        gradient_checkpointing=settings.gradient_checkpointing,
        report_to=settings.report_to,
        ddp_timeout=settings.ddp_timeout,
        use_cpu=runs_on_cpus(),
        # Of several processes the others would warn of heads that are newly drawn.
        log_level_replica="passive",
        run_name=f"{phase.run}: {phase.name}" if phase.run else phase.name,
        seed=phase.seed,
        data_seed=phase.seed,
        save_strategy="no",
        eval_strategy="no",
        logging_steps=10,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def check_precision(setting: str) -> None:
    """Refuse bfloat16 on a device that cannot train with it.

    Args:
        setting: "auto", "true" or "false".

    Raises:
        SettingError: if it is "true" and the device cannot.
    """
    if setting == "true" and not is_torch_bf16_gpu_available():
        raise SettingError(
            "training.bf16 is true, but no device here trains in bfloat16. Leave it out: 'auto' takes it where it can."
        )


def uses_bf16(setting: str) -> bool:
    """Decide whether to train in bfloat16: "auto" does where a GPU has it natively."""
    if setting == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return setting == "true"
