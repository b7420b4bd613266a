"""How the processes that work together draw torch's random numbers: alike, or each its own."""

import hashlib

import torch

from peftsearch.processes import index, is_first, num_processes, share


def draw_alike() -> None:
    """Let all processes draw the first one's random numbers of torch from here on."""
    if num_processes() == 1:
        return
    state, *of_device = _random_states()
    share([state, *of_device])
    torch.set_rng_state(state)
    if of_device:
        torch.cuda.set_rng_state(of_device[0])


def draw_apart() -> None:
    """Let every process draw random numbers of its own from here on, as for dropout; the first goes on as it was."""
    if not is_first():
        content = b"".join(state.numpy().tobytes() for state in _random_states())
        seed = hashlib.blake2b(content + str(index()).encode(), digest_size=7).digest()
        torch.manual_seed(int.from_bytes(seed))


def _random_states() -> list[torch.Tensor]:
    """States of the generators of the CPU and of this process's GPU."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]
