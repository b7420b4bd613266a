"""Allowed values of a run's settings, checked before it starts; methods keep their own beside their settings."""

from collections.abc import Mapping

from peftsearch.settings import ABOVE_ZERO, Limit, at_least, between, one_of, require

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

RUN = {"seed": between(0, 2**31 - 1), "seeds": at_least(1), "max_train_samples": at_least(0)}

TRAINING = {
    "learning_rate": ABOVE_ZERO,
    "num_train_epochs": ABOVE_ZERO,
    "per_device_train_batch_size": at_least(1),
    "per_device_eval_batch_size": at_least(1),
    "gradient_accumulation_steps": at_least(1),
    "lr_scheduler_type": one_of(*_SCHEDULES),
    "warmup_steps": at_least(0),
    "weight_decay": at_least(0),
    "max_grad_norm": at_least(0),
    "max_seq_length": at_least(0),
    "save_steps": at_least(0),
    "save_total_limit": at_least(1),
    "bf16": one_of("auto", "true", "false"),
    "report_to": one_of("none", "tensorboard", "wandb", "trackio", "mlflow"),
}


def check_limits(prefix: str, settings: object, limits: Mapping[str, Limit]) -> None:
    """Refuse values that no run could use.

    Args:
        prefix: what stands before the setting's name in messages: "", "training." or "method.".
        settings: the settings object; names without a limit are free.
        limits: name -> what it may be.

    Raises:
        SettingError: naming the setting, its value and what is allowed.
    """
    for name, limit in limits.items():
        value = getattr(settings, name)
        require(limit.holds(value), prefix + name, value, limit.words)
