"""How a sentence encoder pools the tokens of a text into one vector, as sentence-transformers writes it."""

import json
from pathlib import Path

from transformers import PretrainedConfig
from transformers.utils import cached_file

from peftsearch.models.location import location_of

_FILE = "1_Pooling/config.json"
# Newer versions write one word, older ones a switch for each way.
_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "lasttoken",
}
_WORDS = {"cls": "first token", "lasttoken": "last token", "mean": "mean of the tokens"}


def sentence_pooling(name: str) -> str | None:
    """Find out how a model pools its sentences.

    Args:
        name: of the model, as for `load_model`.

    Returns:
        "first token", "last token" or "mean of the tokens"; None if the model does not say, or says something else.
    """
    location = location_of(name)["pretrained_model_name_or_path"]
    file = cached_file(
        location,
        _FILE,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is None:
        return None
    try:
        document = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict):
        return None
    modes = [word for switch, word in _SWITCHES.items() if document.get(switch) is True]
    mode = document.get("pooling_mode", modes[0] if len(modes) == 1 else None)
    return _WORDS.get(mode) if isinstance(mode, str) else None


def pooling_note(name: str, config: PretrainedConfig, reads: str) -> str | None:
    """Say that a task head reads something else than what the model's sentences were pooled from.

    Args:
        name: of the model.
        config: of the model.
        reads: what the head reads: "first token", "last token" or "all tokens".

    Returns:
        sentences for the user; None where nothing is known, or nothing differs.
    """
    pooling = sentence_pooling(name)
    if pooling is None or reads in (pooling, "all tokens"):
        return None
    seen = f"The task head reads the {reads} of a text, the model's own sentences are the {pooling} ({_FILE})."
    setting = getattr(config, "classifier_pooling", None)
    if setting is not None and pooling == _WORDS["mean"]:
        return f"{seen} Set classifier_pooling to 'mean' in its config.json for a head that reads that too."
    return f"{seen} transformers has no head of this model that reads that."
