"""Keep freed memory in the process while training on a CPU.

glibc gives the top of its heap back to the system when a step's activations are freed, and the next step pays a page
fault for each 4 KiB of them: on two cores and 32 x 64 tokens an architecture step of a supernet took 1.9 plain passes
with it and 1.3 without (one thread, measured with benchmarks/search_step.py's model and batch).
"""

import ctypes
import sys

# Parameters of mallopt(3) and the largest values that it takes.
_M_TRIM_THRESHOLD, _LARGEST_TRIM_THRESHOLD = -1, 2**31 - 1
_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD = -3, 32 * 2**20
# The thread of the backward pass would get an arena of its own and not reuse what the forward pass freed.
_M_ARENA_MAX, _ONE_ARENA = -8, 1


def keep_freed_memory() -> bool:
    """Tell glibc not to give freed memory back; False where the C library has no such setting."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = (
        (_M_TRIM_THRESHOLD, _LARGEST_TRIM_THRESHOLD),
        (_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD),
        (_M_ARENA_MAX, _ONE_ARENA),
    )
    accepted = [bool(mallopt(name, value)) for name, value in settings]
    return all(accepted)
