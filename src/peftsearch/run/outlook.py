"""Tell at the start of a run what its result can be exported as."""

from peftsearch.exports.outlook import describe_configuration, describe_space
from peftsearch.run.experiment import Experiment
from peftsearch.run.recipe import AdaLora, FreshModules, Recipe
from peftsearch.space import Choice, Configuration


def describe_found(experiment: Experiment) -> str:
    """Say what a search's result is whatever is found, in words after "The result is"; see `describe_space`."""
    return describe_space(experiment.space.largest, experiment.sites)


def describe_trained(recipe: Recipe, experiment: Experiment) -> str:
    """Say what a recipe's result is, in words after "The result is"; see `describe_configuration`."""
    match recipe:
        case FreshModules(configuration=configuration) if configuration:
            return describe_configuration(configuration, experiment.sites)
        case FreshModules():
            return "the model as it is with a trained task head, in one checkpoint when merged"
        case AdaLora(allocation=allocation):
            lora = Configuration.of(Choice(site.name, "lora") for site in allocation.sites)
            return describe_configuration(lora, experiment.sites)
    return "a whole model, not LoRA: its checkpoint is all there is"
