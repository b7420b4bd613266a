"""Messages on the terminal: ours, and from other libraries errors only. No torch at import."""

import logging
import warnings


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
