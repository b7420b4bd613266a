"""Evolutionary search's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import SHARE, at_least, limited


@dataclass(frozen=True)
class EvolutionarySettings(MethodSettings):
    """Settings of evolutionary search; the defaults are NOAH's where it has them.

    Args:
        epochs: passes of the supernet's training over the training set; 0 takes the number of the training.
        population: configurations in a generation.
        generations: generations after the first, which is drawn at random.
        parents: number of best configurations so far from which mutants and crossovers are made.
        mutation: probability that a mutant draws a variable anew, above 0 and at most 1.
        validation_examples: examples of the validation split that score a configuration; 0 for all.

    Example:
        search(model="demo", task="demo", budget="0.5%", method={"name": "evolutionary", "generations": 5})
    """

    epochs: float = limited(0.0, at_least(0))
    population: int = limited(50, at_least(2))
    generations: int = limited(15, at_least(0))
    parents: int = limited(10, at_least(1))
    mutation: float = limited(0.1, SHARE)
    validation_examples: int = limited(200, at_least(0))
