"""Tiny language models on disk."""

from pathlib import Path

import pytest

from peftsearch.testing.tiny_models import save_tiny_language_model


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    return save_tiny_language_model("llama", tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Path:
    return save_tiny_language_model("gpt2", tmp_path_factory.mktemp("models") / "gpt2")
