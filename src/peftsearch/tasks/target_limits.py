"""How long the texts are that a model learns and writes."""

from dataclasses import dataclass

# Tokens of a text to write where the user says nothing.
DEFAULT_MAX_TARGET_LENGTH = 128


@dataclass(frozen=True)
class TargetLimits:
    """Limits of texts that a model writes.

    Args:
        max_length: tokens kept of a text that is learned, its end token included.
        max_new_tokens: tokens of a text that the model writes; 0 leaves them to the task format.
    """

    max_length: int = DEFAULT_MAX_TARGET_LENGTH
    max_new_tokens: int = 0


DEFAULT_LIMITS = TargetLimits()
