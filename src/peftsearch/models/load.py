"""Load pretrained models, their configurations and tokenizers."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BaseImageProcessor,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from peftsearch import processes
from peftsearch.errors import ModelError
from peftsearch.messages import without_warnings_of_transformers
from peftsearch.models import gguf_file
from peftsearch.models.completeness import check_complete, check_sizes
from peftsearch.models.earlier_head import draw_head_anew, find_other_classes
from peftsearch.models.folder import check_folder
from peftsearch.models.head import TaskModel
from peftsearch.models.head_class import class_for_plan, class_for_task
from peftsearch.models.loading import IN_FULL, Loading
from peftsearch.models.location import explained, location_of
from peftsearch.models.picture_processor import load_image_processor
from peftsearch.models.quantisation import check_not_twice, make_quantization_config
from peftsearch.models.sharding import shard_blocks
from peftsearch.names import as_names
from peftsearch.task_head import Medium, TaskHead

logger = logging.getLogger(__name__)

# What makes a model's inputs.
Processor = PreTrainedTokenizerBase | BaseImageProcessor


def load_config(name: str) -> PretrainedConfig:
    """Load a model's configuration.

    Args:
        name: "demo", "demo-decoder", a folder, a .gguf file or a hub id.

    Raises:
        ModelError: if it cannot be loaded.

    Example:
        load_config("demo").model_type
    """
    check_folder(name)
    location = location_of(name)
    with explained(name):
        if "gguf_file" in location:
            return gguf_file.read_config(location)
        return AutoConfig.from_pretrained(**location, trust_remote_code=False)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer; one without a pad token pads with the end-of-sequence token.

    Args:
        name: as for `load_config`.

    Raises:
        ModelError: if there is no tokenizer, or it has neither token.

    Example:
        load_tokenizer("demo")("what a lovely film", return_tensors="pt")
    """
    location = location_of(name)
    with explained(name):
        if "gguf_file" in location:
            tokenizer = gguf_file.read_tokenizer(location)
        else:
            tokenizer = AutoTokenizer.from_pretrained(**location, trust_remote_code=False)
    _check_has_vocabulary(name, tokenizer)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ModelError(
                f"The tokenizer of '{name}' has neither a pad token nor an end-of-sequence token to pad with. "
                "Set pad_token in its tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
        logger.warning("The tokenizer of '%s' has no pad token; padding with '%s'.", name, tokenizer.pad_token)
    return tokenizer


def _check_has_vocabulary(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse the empty tokenizer that transformers makes of a folder without a tokenizer's files."""
    folder = Path(location_of(name)["pretrained_model_name_or_path"])
    names = {"tokenizer.json", *tokenizer.vocab_files_names.values()}
    has_files = any((folder / file).is_file() for file in names)
    if "gguf_file" not in location_of(name) and folder.is_dir() and tokenizer.vocab_files_names and not has_files:
        raise ModelError(
            f"The folder '{name}' has no tokenizer: none of {', '.join(sorted(names))}. Copy the files of the model's "
            "tokenizer there, or save it there with tokenizer.save_pretrained."
        )


def load_processor(name: str, medium: Medium) -> Processor:
    """Load what makes a model's inputs: its tokenizer, or its image processor.

    Args:
        name: as for `load_config`.
        medium: what the model reads.

    Raises:
        ModelError: if there is none, or one that cannot be used.
    """
    return load_tokenizer(name) if medium is Medium.TEXTS else load_image_processor(name)


def load_model(
    name: str,
    *,
    num_labels: int | None,
    problem_type: str | None = None,
    labels: Sequence[str] = (),
    seed: int = 0,
) -> TaskModel:
    """Load a pretrained model for a task over whole texts.

    Args:
        name: "demo", "demo-decoder", a folder, a .gguf file or a hub id.
        num_labels: number of outputs of the classification or regression head; None for text-to-text, which has no
            head.
        problem_type: "single_label_classification" or "regression"; None to let the model choose by its labels.
        labels: names of the classes, for the configuration (id2label); empty for those of transformers.
        seed: of the head's initial weights.

    Raises:
        ModelError: if the model cannot be loaded, or does not fit the kind of task.

    Example:
        model = load_model("demo", num_labels=3).model
    """
    head = TaskHead.of_labels(num_labels, problem_type, as_names("labels", labels))
    return load_task_model(name, head, seed=seed)


def load_task_model(
    name: str, head: TaskHead, *, seed: int = 0, weights: Path | None = None, loading: Loading = IN_FULL
) -> TaskModel:
    """Load a pretrained model with the head of a task.

    A head that the checkpoint brings along from another task is drawn anew, unless its classes have the same names.

    Args:
        name: as for `load_model`.
        head: that the task needs.
        seed: of the head's initial weights.
        weights: a folder with a fully fine-tuned copy, which is loaded instead of the pretrained weights.
        loading: how its weights are brought into memory; the head stays in float32.

    Raises:
        ModelError: as in `load_model`.
        SettingError: if the weights cannot be quantised as asked.
    """
    config = load_config(name)
    loader = class_for_task(name, config, head.task_type)
    set_seed(seed)
    options = _outputs(head)
    location: dict[str, Any] = (
        location_of(name) if weights is None else {"pretrained_model_name_or_path": str(weights)}
    )
    is_gguf = "gguf_file" in location
    location |= gguf_file.unpacked(location) if is_gguf else {"use_safetensors": True}
    # Without them a model that was fine-tuned for another task keeps the names of that one.
    names = dict(enumerate(head.labels or (f"LABEL_{i}" for i in range(head.num_labels or 0))))
    if names:
        options |= {"id2label": names, "label2id": {name: i for i, name in names.items()}}
    if is_gguf:
        # Or transformers parses the file twice more.
        config.update(options)
        options = {"config": config}
    # The head of an earlier task may have another number of labels; it is then initialised anew.
    options |= {
        "trust_remote_code": False,
        "dtype": torch.float32,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,
        **_loading_options(name, head, loading),
    }
    with explained(name), gguf_file.unpacking(location), without_warnings_of_transformers():
        model, info = loader.from_pretrained(**location, **options)
    if head.medium is Medium.TEXTS:
        # Heads that read the last token look for this one; padding with another would be read as text.
        model.config.pad_token_id = model.config.get_text_config().pad_token_id = load_tokenizer(name).pad_token_id
    found = TaskModel.of_checkpoint(name, model)
    check_sizes(name, found.head, info["mismatched_keys"])
    check_complete(found, info["missing_keys"])
    if weights is None and find_other_classes(found, classes_of(config), head.labels):
        set_seed(seed)
        draw_head_anew(found)
    if processes.shards_model():
        shard_blocks(model)
    return found


def _loading_options(name: str, head: TaskHead, loading: Loading) -> dict[str, Any]:
    """The arguments of `from_pretrained` that quantise a model or place it on devices."""
    options: dict[str, Any] = {"device_map": loading.device_map} if loading.device_map else {}
    if loading.quantises:
        sketch = sketch_model(name, head)
        check_not_twice(name, sketch.model.config, loading)
        options["quantization_config"] = make_quantization_config(loading.quantization, head=sketch.head)
    return options


def classes_of(config: PretrainedConfig) -> tuple[str, ...]:
    """Names of the classes in a configuration, in the order of the head's outputs."""
    names = {int(i): str(name) for i, name in (config.id2label or {}).items()}
    return tuple(names[i] for i in sorted(names))


def sketch_model(name: str, head: TaskHead | None = None) -> TaskModel:
    """Make a pretrained model on the meta device: without weights, but with the sites and sizes of a loaded one.

    Args:
        name: as for `load_model`; a folder may hold config.json alone.
        head: that a task needs; None for the usual one with the outputs of the configuration. A model type without a
            class for that is then made without a head.

    Raises:
        ModelError: if there is no configuration, or the model does not fit the kind of task.

    Example:
        sketch_model("demo").backbone_parameters
    """
    config = load_config(name)
    loader = class_for_plan(config)
    if head is not None:
        loader = class_for_task(name, config, head.task_type)
        config.update(_outputs(head))
    with explained(name), torch.device("meta"):
        model = loader.from_config(config)
    model.tie_weights()
    return TaskModel.of_checkpoint(name, model)


def _outputs(head: TaskHead) -> dict[str, Any]:
    return {} if head.num_labels is None else {"num_labels": head.num_labels, "problem_type": head.problem_type}


def load_as(auto_class: Any, name: str, **options: Any) -> PreTrainedModel:
    """Load a pretrained model by one of transformers' auto classes, in float32 on the CPU.

    Args:
        auto_class: such as `AutoModelForCausalLM`.
        name: as for `load_model`.
        options: of `from_pretrained`, such as `num_labels`.

    Raises:
        ModelError: if it cannot be loaded.
    """
    with explained(name), gguf_file.unpacking(location_of(name)):
        location = gguf_file.unpacked(location_of(name))
        return auto_class.from_pretrained(**location, trust_remote_code=False, dtype=torch.float32, **options)
