"""Tell at the start of a run what its result can be exported as."""

from peftsearch.exports.outlook import describe_configuration, describe_space
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS
from peftsearch.methods.manual.method import place
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.recipe import AdaLora, FreshModules, Recipe
from peftsearch.space import Choice, Configuration


def describe_found(config: RunConfig, experiment: Experiment) -> str:
    """Say what a search's result is whatever is handed over, in words after "The result is"; see `describe_space`."""
    baselines = config.baseline_names if config.keep == "better" else []
    by_hand = [place(MANUAL_METHODS[method], experiment.sites, rank=1) for method in baselines]
    choices = {choice.placement: choice for part in (*by_hand, experiment.space.largest) for choice in part}
    largest, has_rows = Configuration.of(choices.values()), bool(experiment.token_rows)
    return describe_space(largest, experiment.sites, experiment.quantised_on_disk, trains_rows=has_rows)


def describe_trained(recipe: Recipe, experiment: Experiment) -> str:
    """Say what a recipe's result is, in words after "The result is"; see `describe_configuration`."""
    match recipe:
        case FreshModules(configuration=configuration) if configuration:
            return _describe(configuration, experiment)
        case FreshModules():
            return "the model as it is with a trained task head, in one checkpoint when merged"
        case AdaLora(allocation=allocation):
            return _describe(Configuration.of(Choice(site.name, "lora") for site in allocation.sites), experiment)
    return "a whole model, not LoRA: its checkpoint is all there is"


def _describe(configuration: Configuration, experiment: Experiment) -> str:
    has_rows = bool(experiment.token_rows)
    return describe_configuration(configuration, experiment.sites, experiment.quantised_on_disk, trains_rows=has_rows)
