"""Trackers that the Trainer reports to."""

from importlib import import_module
from importlib.util import find_spec

from transformers import TrainerCallback

from peftsearch.errors import PeftSearchError

# Tracker -> packages of which one is enough.
_PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "mlflow": ("mlflow",),
}


def check_tracker(name: str) -> None:
    """Check that a tracker can be used.

    Raises:
        PeftSearchError: if its package is not installed.
    """
    packages = _PACKAGES.get(name, ())
    if packages and not any(_is_installed(package) for package in packages):
        raise PeftSearchError(
            f"--report_to {name} needs the package {packages[0]}, which is not installed. Run pip install "
            f"{packages[0]}, or use --report_to none."
        )


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    # A folder of that name, such as wandb's own logs, is found as well, but has no origin.
    return spec is not None and spec.origin is not None


class OwnWandbRun(TrainerCallback):
    """Give every training a run of its own in wandb, whose steps count from 0; a run that the user opened stays."""

    def __init__(self):
        self._wandb = import_module("wandb")
        self._is_users = self._wandb.run is not None

    def on_train_end(self, args, state, control, **_) -> None:
        if not self._is_users:
            self._wandb.finish()


def tracker_callbacks(name: str) -> list[TrainerCallback]:
    """Callbacks that a tracker needs beside the one that the Trainer has for it."""
    return [OwnWandbRun()] if name == "wandb" else []
