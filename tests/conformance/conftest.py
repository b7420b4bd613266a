"""The small runs of tests/app serve here too."""

from app.conftest import reviews, settings, tiny_folder  # noqa: F401
