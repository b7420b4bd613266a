"""Messages on the terminal: ours, and from other libraries errors only. No torch at import."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def quieten_libraries() -> None:
    """Show our own messages, errors of others, and no warnings that users can't act on."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("peftsearch").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", category=FutureWarning)
    # peft takes AdaLoRA's empty ranks for broken files.
    warnings.filterwarnings("ignore", message="Adapter '.*' LoRA tensor")
    warnings.filterwarnings("ignore", message="The following rank_pattern keys did not match")
    quieten_transformers()


def quieten_transformers() -> None:
    """Show errors of transformers only, and none of its progress bars."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@contextmanager
def without_warnings_of_transformers() -> Iterator[None]:
    """Show errors of transformers only while it loads a model whose new task head it would warn of each time."""
    import transformers

    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)
