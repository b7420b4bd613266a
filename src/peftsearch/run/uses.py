"""The uses of a model whose memory `plan` estimates: a training, and searches over a space."""

from collections.abc import Sequence
from dataclasses import replace

from peftsearch.methods.manual.manual_methods import MANUAL_METHODS, UNIFORM_LORA
from peftsearch.methods.manual.method import baseline_lora, place
from peftsearch.methods.pursuit.method import Pursuit
from peftsearch.methods.pursuit.settings import PursuitSettings
from peftsearch.run.memory import Use
from peftsearch.searches.growing import NUM_PARTS
from peftsearch.space import Configuration, SearchSpace, Site

# Rank of uniform LoRA where no budget decides.
_RANK = 8


def uses_of(space: SearchSpace, sites: Sequence[Site], budget: int | None = None) -> tuple[Use, ...]:
    """List what a run does with a model: train uniform LoRA, search by gates, search by pursuit.

    The training of what a search finds needs about what uniform LoRA does, whose parameters are as many.

    Args:
        space: is searched.
        sites: every site of the model.
        budget: in parameters; None for uniform LoRA of rank 8.
    """
    found = None if budget is None else baseline_lora(sites, budget)
    lora = place(MANUAL_METHODS[UNIFORM_LORA], sites, rank=_RANK) if found is None else found
    pursuit = Pursuit(space, budgets=(), settings=PursuitSettings(), seed=0)
    training = Use("training (uniform LoRA)", lora)
    return (
        training,
        replace(training, name="search by gates", configuration=space.largest),
        Use("search by pursuit", pursuit.candidates(Configuration()), gradients=NUM_PARTS, moments=0, drops_out=False),
    )
