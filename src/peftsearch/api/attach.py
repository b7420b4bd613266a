"""Attach configurations to a model that the user has loaded, and take them off again."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from peft import PeftModel
from transformers import PreTrainedModel

from peftsearch.errors import ConfigurationError, ModelError, UnknownNameError
from peftsearch.models.discover import find_sites
from peftsearch.models.head import TaskModel, find_head
from peftsearch.models.task_type import task_type_of
from peftsearch.modules.attach import attach as attach_at
from peftsearch.modules.tuner import PeftSearchModel
from peftsearch.names import as_names
from peftsearch.space import Configuration, Site
from peftsearch.task_head import wrapped_as


def attach(model: PreTrainedModel, configuration: Configuration, *, head: Sequence[str] | None = None) -> PeftModel:
    """Attach a configuration's modules to a transformers model and freeze the rest but the task head.

    Args:
        model: is changed in place, as by peft's `get_peft_model`.
        configuration: of a run, a file or made by hand.
        head: names of modules that are trained and saved in full. By default what stands outside of the base model,
            and nothing of a language model.

    Raises:
        ConfigurationError: for a choice at a site that the model lacks, or of a kind that does not fit there; for a
            `head` that is no list of the model's modules.
        ModelError: if the model carries peft modules already.

    Example:
        model = AutoModelForSequenceClassification.from_pretrained("bert-base-uncased")
        attached = attach(model, Configuration([Choice("encoder.0.query", "lora", rank=8)]))
    """
    if not isinstance(configuration, Configuration):
        raise ConfigurationError(
            f"The configuration is a {type(configuration).__name__}. Give a Configuration: "
            "Configuration.load(file), or Configuration.of(choices)."
        )
    loaded = as_loaded(model, head)
    return attach_at(
        model, configuration, sites=find_sites(model), head=loaded.head, task_type=wrapped_as(task_type_of(model))
    )


def as_loaded(model: object, head: Sequence[str] | None = None) -> TaskModel:
    """Tell a user's model apart into head and rest.

    Args:
        model: of the user.
        head: as in `attach`.

    Raises:
        ModelError: if it is not a plain transformers model.
        ConfigurationError: if the model lacks a module of `head`.
    """
    if isinstance(model, PeftModel) or not isinstance(model, PreTrainedModel):
        raise ModelError(
            f"The model is a {type(model).__name__}, but must be a transformers model without peft modules. "
            "Give the model as from_pretrained returned it, and no peft_config."
        )
    found = find_head(model) if head is None else as_names("head", head)
    known = dict(model.named_modules())
    for name in found:
        if name not in known:
            raise UnknownNameError("module of the head", name, [top for top, _ in model.named_children()])
    return TaskModel.of(model.config.name_or_path or type(model).__name__, model, found)


@contextmanager
def temporarily_attached(
    loaded: TaskModel, configuration: Configuration, sites: Iterable[Site]
) -> Iterator[PeftModel]:
    """Attach a configuration inside of the context; then the model has its own head and frozen parameters again.

    Args:
        loaded: the user's model.
        configuration: is attached.
        sites: every site of the model.
    """
    model = loaded.model
    heads = {name: model.get_submodule(name) for name in loaded.head}
    was_trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    adapted = attach_at(model, configuration, sites=sites, head=loaded.head, task_type=wrapped_as(task_type_of(model)))
    try:
        yield adapted
    finally:
        cast(PeftSearchModel, adapted.base_model).unload()
        for name, module in heads.items():
            model.set_submodule(name, module)
        for parameter, requires_grad in was_trainable:
            parameter.requires_grad_(requires_grad)
