"""What the launcher of several processes asks for: torchrun, or `accelerate launch`, which knows FSDP too."""

import logging
import os

import torch

from peftsearch.environment import count_launched, index_launched
from peftsearch.errors import ConfigurationError

logger = logging.getLogger(__name__)

# What accelerate sets for wrappers that cut the model itself into parts.
_FSDP = "ACCELERATE_USE_FSDP"
_SHARDED = {
    _FSDP: "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron",
}


class _Launch:
    """Whether the launcher's FSDP was switched off."""

    took_fsdp = False


def take_over_fsdp() -> bool:
    """Switch the launcher's FSDP off, for the rest of this process, so that the frozen model is shared out instead.

    Returns:
        whether the launcher asks for it and has started several processes; also when asked again.
    """
    if count_launched() > 1 and _is_set(_FSDP):
        # Accelerate makes its plugin of this, and transformers leaves the weights of all but one process out.
        os.environ[_FSDP] = "false"
        _Launch.took_fsdp = True
        if not index_launched():
            logger.warning(
                "The launcher asks for FSDP: the frozen model is shared out, as by --shard_model true, and the "
                "launcher's other settings of FSDP are set aside."
            )
    return _Launch.took_fsdp


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("true", "1")


def refuse_sharding() -> None:
    """Refuse a launcher that wants the model to be cut into parts.

    Raises:
        ConfigurationError: if it asks for FSDP, DeepSpeed or Megatron and starts several processes.
    """
    if count_launched() == 1:
        return
    asked = [name for variable, name in _SHARDED.items() if _is_set(variable)]
    if asked:
        raise ConfigurationError(
            f"The launcher asks for {asked[0]}, which cuts modules into parts too. Launch without it, by torchrun or "
            "`accelerate launch --multi_gpu`. The frozen weights alone are shared out under `accelerate launch "
            "--use_fsdp`, and on the command line with --shard_model true."
        )


def runs_on_cpus() -> bool:
    """Whether several processes work together without a GPU or the like, which transformers has to be told."""
    return count_launched() > 1 and not torch.accelerator.is_available()
