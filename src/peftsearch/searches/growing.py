"""What every loop of a method that grows a configuration does: draw examples, read and put the weights of modules."""

from collections.abc import Iterable

import torch
from peft import PeftModel

from peftsearch.errors import DataError, NothingFoundError
from peftsearch.modules.costs import num_parameters
from peftsearch.searches.growth import Grown, leading, put_leading
from peftsearch.space import Configuration, SearchSpace, Site
from peftsearch.supernet.supernet import Supernet

# Parts of the examples whose gradients are taken one by one, so that noise can be told from signal.
NUM_PARTS = 4


# Indices of the examples of each part.
Parts = list[list[int]]


def draw_parts(num_rows: int, num_examples: int, seed: int) -> tuple[Parts, Parts]:
    """Draw examples for each of two passes, none for both, and deal each pass's out to parts of almost the same size.

    What the first pass finds is measured by the second: on the same examples it would fit their noise.

    Args:
        num_rows: examples of the training set.
        num_examples: examples of a pass to draw; 0 for half of all, as where there are fewer than two passes take.
        seed: of the draw.

    Returns:
        the parts of each pass, none of them empty.

    Raises:
        DataError: for fewer than two examples of a pass.
    """
    rows = torch.randperm(num_rows, generator=torch.Generator().manual_seed(seed)).tolist()
    rows = rows[: 2 * num_examples or None]
    half = len(rows) // 2
    if half < 2:
        raise DataError(
            f"The search compares gradients of different training examples, but takes {len(rows)} of {num_rows}. Give "
            "at least 4, and let the method's setting 'examples' be 0 or above 1."
        )
    first, second = (
        [part for k in range(NUM_PARTS) if (part := own[k::NUM_PARTS])] for own in (rows[:half], rows[half:])
    )
    return first, second


def supernet_of(model: PeftModel, configuration: Configuration, sites: Iterable[Site]) -> Supernet:
    """Give access to the modules of a configuration.

    Args:
        model: with that configuration attached, at its ranks.
        configuration: may have ranks that the search space lacks.
        sites: every site of the model.
    """
    by_name = {site.name: site for site in sites}
    costs = {choice: num_parameters(choice.kind, by_name[choice.site], choice.rank) for choice in configuration}
    return Supernet(model, sites=by_name.values(), space=SearchSpace(costs))


def require_modules(grown: Grown) -> None:
    """Check that something was found.

    Raises:
        NothingFoundError: if no module is worth its parameters.
    """
    if not len(grown.configuration):
        raise NothingFoundError(
            "The gradients of the training examples agree on no module. Check the loss and the labels, give a "
            "larger budget, or let the method's setting 'examples' be 0, which takes all."
        )


def read_weights(model: PeftModel, configuration: Configuration, sites: Iterable[Site]) -> Grown:
    """Copy the weights of the modules of a configuration; arguments as for `supernet_of`."""
    supernet = supernet_of(model, configuration, sites)
    return Grown(configuration, {c.placement: leading(supernet.module(c.placement), c.rank) for c in configuration})


def put_weights(model: PeftModel, grown: Grown, sites: Iterable[Site]) -> None:
    """Put weights into the modules of a model, which stay as drawn where there are none.

    Args:
        model: with the configuration attached.
        grown: the configuration with its weights.
        sites: every site of the model.
    """
    supernet = supernet_of(model, grown.configuration, sites)
    for placement, tensors in grown.tensors.items():
        put_leading(supernet.module(placement), tensors)
