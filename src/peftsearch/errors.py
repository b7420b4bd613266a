"""Errors that users meet. Each message says what is wrong, the value found, what is allowed and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class PeftSearchError(Exception):
    """Base of every error that peftsearch raises on purpose; the command line ends with exit code 2 on it."""


class UnknownNameError(PeftSearchError):
    """A name that no registry knows; the message suggests the nearest known one."""

    def __init__(self, what: str, name: str, known: Iterable[str]):
        known = sorted(known)
        nearest = get_close_matches(str(name), known, n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        super().__init__(f"Unknown {what} '{name}'.{hint} Known: {', '.join(known)}.")


class BudgetError(PeftSearchError):
    """A budget that cannot be read, or that no configuration can meet."""


class ConfigurationError(PeftSearchError):
    """A configuration that contradicts itself, the model or the schema."""


class MergeError(ConfigurationError, ValueError):
    """An adapter that cannot be merged; also a ValueError, which those who call peft expect."""


class SiteError(PeftSearchError):
    """Sites of a model that cannot be found, or are found in some layers only."""


class ModelError(PeftSearchError):
    """A model that cannot be loaded or used for the task."""


class DataError(PeftSearchError):
    """Data that cannot be read or that does not fit the task."""


class TrainingError(PeftSearchError):
    """Training that cannot go on, such as a loss that is not a number."""


class DivergedError(TrainingError):
    """The loss of a training, or its score, stopped being a number."""


class NothingFoundError(TrainingError):
    """A search found no module that is worth its parameters."""


class ProcessError(PeftSearchError):
    """Another process of the same run that has ended, does not answer, or found something else."""


class HubError(PeftSearchError):
    """A hub that is not reached, or that refuses the token, the name or the files."""


class RunFolderError(PeftSearchError):
    """An output folder that must not be written to, or that lacks what is asked of it."""


class StorageError(RunFolderError):
    """A file that cannot be written, as when the disk is full or the folder is read-only."""


class CheckpointError(RunFolderError):
    """A checkpoint that is damaged, or is of another training."""


class ExportError(PeftSearchError):
    """An export that cannot be exact, or that must not be written where it was asked for."""


class VersionError(PeftSearchError):
    """A version of another package that peftsearch does not work with."""
