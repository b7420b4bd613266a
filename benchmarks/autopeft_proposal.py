"""Seconds of one proposal of AutoPEFT (fit and search) in a space of 15 variables, as the paper's for 12 layers.

python benchmarks/autopeft_proposal.py --surrogate map_saas --repeats 3
"""

import argparse
import random
import time
from statistics import fmean

import torch

from peftsearch.methods.autopeft.method import Autopeft
from peftsearch.methods.autopeft.settings import AutopeftSettings
from peftsearch.searches.trials import Problem, Proposal, Trial
from peftsearch.space import Choice, Configuration, Role, SearchSpace, Site
from peftsearch.space.encoding import ENCODINGS

KINDS = {Role.QUERY: "lora", Role.ATTENTION_OUTPUT: "low_rank_adapter", Role.FFN_OUT: "bitfit"}
SIZES = (1, 3, 6, 12, 24, 48, 96, 192, 384, 768)


def make_problem(seed: int) -> Problem:
    """Three kinds with ten sizes each, and a mask over 12 layers."""
    sites = [Site("encoder", n, role, f"{n}.{role}", 768, 768) for n in range(12) for role in KINDS]
    space = SearchSpace({Choice(s.name, KINDS[s.role], size): 1536 * size for s in sites for size in SIZES})
    budget = space.cost(space.largest)
    return Problem(space, ENCODINGS["autopeft"](space, budget, sites), (budget,), seed)


def score(configuration: Configuration, rng: random.Random) -> float:
    """Falling returns of size, with a little noise."""
    gain = sum(choice.rank**0.25 for choice in configuration)
    return gain / (gain + 20) + rng.gauss(0, 0.01)


def seconds(surrogate: str, done: int, seed: int) -> float:
    """Wall time of the proposal after `done` random trials."""
    problem, rng = make_problem(seed), random.Random(seed)
    method = Autopeft(problem, AutopeftSettings(initial=done, surrogate=surrogate))
    trials = [
        Trial(Proposal(p.configuration), problem.space.cost(p.configuration), score(p.configuration, rng))
        for p in method.propose([])
    ]
    started = time.perf_counter()
    method.propose(trials)
    return time.perf_counter() - started


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--surrogate", default="map_saas")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    for done in (50, 100):
        taken = [seconds(given.surrogate, done, seed) for seed in range(given.repeats)]
        spread = f"from {min(taken):.1f} to {max(taken):.1f}"
        print(f"{given.surrogate}, {done} trials: {fmean(taken):.1f} s a proposal ({spread})")
