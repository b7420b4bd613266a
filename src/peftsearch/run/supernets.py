"""Make the supernet of an experiment, and save the weights that a configuration inherits from it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftModel
from torch import nn

from peftsearch.files import new_folder
from peftsearch.modules.attach import TOKEN_ROWS
from peftsearch.modules.saved_adapter import save_adapter
from peftsearch.run.experiment import Experiment
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import INHERITED
from peftsearch.space import Configuration
from peftsearch.supernet.supernet import Supernet


def make_supernet(experiment: Experiment) -> Supernet:
    """Load the pretrained model and attach every module of the space at its largest rank."""
    model = experiment.attach(experiment.start_model(experiment.seed), experiment.space.largest)
    return Supernet(model, sites=experiment.sites, space=experiment.space)


def save_inherited(experiment: Experiment, supernet: Supernet, configuration: Configuration, folder: Path) -> None:
    """Save a configuration's adapter with the supernet's weights and task head, in `search/inherited/` of the run.

    Args:
        experiment: gives model and sites.
        supernet: trained.
        configuration: from the supernet's space.
        folder: the run folder.
    """
    model = experiment.attach(experiment.load_model(experiment.seed), configuration)
    target = Supernet(model, sites=experiment.sites, space=experiment.space.restricted_to(configuration))
    live = set(supernet.live)
    for choice in configuration:
        if choice.placement in live:
            target.module(choice.placement).inherit(supernet.module(choice.placement))
    copy_head(head_of(supernet.model), model)
    with new_folder(folder / INHERITED) as new:
        save_adapter(model, new)


def head_of(model: PeftModel) -> dict[str, nn.Parameter]:
    """Name in peft's model -> each parameter of the task head that is trained, and the rows of tokens."""
    kept = ("modules_to_save", TOKEN_ROWS)
    return {name: parameter for name, parameter in model.named_parameters() if any(part in name for part in kept)}


@torch.no_grad()
def copy_head(head: Mapping[str, torch.Tensor], model: PeftModel) -> None:
    """Put the parameters of a task head, by the names of `head_of`, into a model with the same head."""
    own = head_of(model)
    for name, tensor in head.items():
        own[name].copy_(tensor)


def inherited_notes(request: SearchRequest, results: Mapping[int, Configuration]) -> tuple[str, ...]:
    """A note for the user on a ladder of which only one step inherits.

    Args:
        request: says whether any does.
        results: budget in parameters -> configuration.
    """
    if not request.inherit or len(results) == 1:
        return ()
    return (
        "Only the smallest budget's configuration starts from the supernet's weights (--inherit). The larger ones of "
        "the ladder start with fresh weights, so that more than their size tells them from it.",
    )
