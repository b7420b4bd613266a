"""The conformance suite: contracts of kinds, families, methods, spaces and tasks as pytest classes to derive from.

peftsearch's own tests run it over its registries; a package that adds something runs it on what it adds.

Example:
    from peftsearch.testing import KindTests

    class TestOutputScale(KindTests):
        kinds = ("output_scale",)
"""

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("peftsearch.testing needs pytest: pip install 'peftsearch[testing]'") from error

# Before they are imported, so that a failing assertion shows its values.
pytest.register_assert_rewrite(*(f"peftsearch.testing.{name}" for name in ("kinds", "methods", "spaces", "tasks")))

from peftsearch.testing.kinds import FamilyTests, KindTests  # noqa: E402
from peftsearch.testing.methods import MethodTests  # noqa: E402
from peftsearch.testing.spaces import SpaceTests  # noqa: E402
from peftsearch.testing.tasks import TaskTests  # noqa: E402
from peftsearch.testing.tiny_models import (  # noqa: E402
    TINY,
    TINY_PICTURE_MODELS,
    build,
    save_tiny,
    tiny_image_processor,
    tiny_tokenizer,
)

__all__ = [
    "TINY",
    "TINY_PICTURE_MODELS",
    "FamilyTests",
    "KindTests",
    "MethodTests",
    "SpaceTests",
    "TaskTests",
    "build",
    "save_tiny",
    "tiny_image_processor",
    "tiny_tokenizer",
]
