"""Small runs as fixtures."""

import pytest

from peftsearch.testing.small_runs import small_run, write_review_files
from peftsearch.testing.tiny_models import save_tiny


@pytest.fixture(scope="session")
def reviews(tmp_path_factory) -> str:
    """Training, validation and test file."""
    return write_review_files(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """family -> folder with a saved tiny model, made once."""
    made: dict[str, str] = {}

    def folder(family: str) -> str:
        if family not in made:
            made[family] = str(save_tiny(family, tmp_path_factory.mktemp(family)))
        return made[family]

    return folder


@pytest.fixture
def settings(reviews, tiny_folder, tmp_path):
    """Settings of a run of a few seconds, for a family."""

    def make(family: str = "bert", **changes) -> dict:
        places = {"model": tiny_folder(family), "reviews": reviews, "output": tmp_path / "run"}
        return dict(small_run(**places | changes))

    return make
