"""Evolutionary search's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import SHARE, at_least


@dataclass(frozen=True)
class EvolutionarySettings(MethodSettings):
    """Settings of evolutionary search; the defaults are NOAH's where it has them.

    Args:
        epochs: passes of the supernet's training over the training set; 0 takes the number of the training.
        population: configurations in a generation.
        generations: generations after the first, which is drawn at random.
        parents: best configurations so far, from which mutants and crossovers are made.
        mutation: probability that a mutant draws a variable anew.
        validation_examples: examples of the validation split that score a configuration; 0 for all.
    """

    epochs: float = 0.0
    population: int = 50
    generations: int = 15
    parents: int = 10
    mutation: float = 0.1
    validation_examples: int = 200

    LIMITS = {
        "epochs": at_least(0),
        "population": at_least(2),
        "generations": at_least(0),
        "parents": at_least(1),
        "mutation": SHARE,
        "validation_examples": at_least(0),
    }
