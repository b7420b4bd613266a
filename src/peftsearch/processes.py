"""The processes of one search or training, as torchrun and `accelerate launch` start them.

Each runs the same program on its part of every batch. Alone in the world, or outside of `joined`, nothing is sent:
each function then returns what a single process has.
"""

import atexit
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import groupby
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import distributed

from peftsearch.environment import count_launched
from peftsearch.errors import ProcessError
from peftsearch.launcher import refuse_sharding, runs_on_cpus

T = TypeVar("T")
Rows = TypeVar("Rows", bound=Sequence)


class _World:
    """The group in which values on the CPU are sent; None outside of `joined`."""

    group: distributed.ProcessGroup | None = None
    timeout = 0
    shards_model = False


@contextmanager
def joined(timeout: int, *, shard_model: bool = False) -> Iterator[None]:
    """Work together with the other processes inside of the context, if there are any.

    Args:
        timeout: seconds that one waits for the others before it gives up.
        shard_model: whether each holds a part of the frozen model alone.

    Raises:
        ConfigurationError: if the launcher asks for FSDP or DeepSpeed.
    """
    if count_launched() == 1 or _World.group is not None:
        yield
        return
    refuse_sharding()
    is_ours, limit = not distributed.is_initialized(), timedelta(seconds=timeout)
    # Knows the backend of every sort of device; the group of the CPU is beside that of the devices.
    PartialState(cpu=runs_on_cpus(), timeout=limit)
    _World.timeout = timeout
    with _talking("meet the others"):
        group = distributed.new_group(backend="gloo", timeout=limit)
    assert isinstance(group, distributed.ProcessGroup), "a group of all has this process too"
    _World.group, _World.shards_model = group, shard_model
    try:
        yield
    finally:
        _World.group, _World.shards_model = None, False
    if is_ours:
        # Not now: a script may search more than once.
        atexit.register(distributed.destroy_process_group)


def num_processes() -> int:
    """Processes that work together."""
    return 1 if _World.group is None else distributed.get_world_size()


def index() -> int:
    """Index of this process among them, from 0."""
    return 0 if _World.group is None else distributed.get_rank()


def shards_model() -> bool:
    """Whether each process holds a part of the frozen model alone, so that each pass needs all of them."""
    return _World.shards_model


def missing_passes(own: int) -> int:
    """Count the passes that another process takes more than this one's, where each pass needs the parts of all."""
    return largest(own) - own if shards_model() else 0


@contextmanager
def whole_models() -> Iterator[None]:
    """Let models that are loaded inside of the context be whole in each process."""
    shards, _World.shards_model = _World.shards_model, False
    try:
        yield
    finally:
        _World.shards_model = shards


def is_first() -> bool:
    """Whether this is the process that writes."""
    return index() == 0


def own_slice(rows: Rows) -> Rows:
    """Take the part of some rows that is this process's: all parts in order are the rows, and some may be empty."""
    start, end = (len(rows) * i // num_processes() for i in (index(), index() + 1))
    return rows[start:end]  # pyright: ignore[reportReturnType]  a slice is a sequence of that sort


@contextmanager
def _talking(what: str) -> Iterator[None]:
    """Say in words that the others are not there; `what` completes "could not"."""
    try:
        yield
    except RuntimeError as error:
        raise _lost(what) from error


def _lost(what: str) -> ProcessError:
    return ProcessError(
        f"Process {index()} of {count_launched()} could not {what}: another one has ended, or was silent for "
        f"{_World.timeout} seconds (--training.ddp_timeout). Its own message says why. What the run has saved is "
        "whole: the same command with --resume goes on from its last checkpoint."
    )


@contextmanager
def passes_explained() -> Iterator[None]:
    """Say in words, too, that the others are not there in a pass through a model that is shared out.

    Raises:
        ProcessError: in place of what torch says.
    """
    try:
        yield
    except RuntimeError as error:
        # What gloo says begins with a file of its own, and has no type.
        if num_processes() > 1 and (isinstance(error, distributed.DistError) or "/gloo/" in str(error)):
            raise _lost("get the other parts of the model") from error
        raise


def wait_for_all(what: str) -> None:
    """Wait until all processes have come here.

    Args:
        what: completes "could not", such as "finish the run".

    Raises:
        ProcessError: if one does not come.
    """
    if num_processes() > 1:
        with _talking(what):
            distributed.all_reduce(torch.zeros(1), group=_World.group)


@torch.no_grad()
def add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor by its sum over all processes, which have tensors of the same shapes."""
    if num_processes() == 1:
        return
    with _talking("add up what it computed"):
        for _, same in groupby(sorted(tensors, key=_sort_of), key=_sort_of):
            _add_up(list(same))


def _sort_of(tensor: torch.Tensor) -> tuple[str, str]:
    return str(tensor.device), str(tensor.dtype)


def _add_up(tensors: list[torch.Tensor]) -> None:
    """Add up tensors of one type and device in a single message."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat, group=_group_of(flat))
    for tensor, summed in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(summed.view_as(tensor))


def _group_of(tensor: torch.Tensor) -> distributed.ProcessGroup | None:
    return _World.group if tensor.device.type == "cpu" else None


@torch.no_grad()
def average(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor by its mean over all processes, which have tensors of the same shapes."""
    if num_processes() > 1:
        add_up(tensors)
        for tensor in tensors:
            tensor /= num_processes()


@torch.no_grad()
def share(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor by that of the first process."""
    if num_processes() > 1:
        with _talking("get tensors of the first one"):
            for tensor in tensors:
                content = tensor.contiguous()
                distributed.broadcast(content, 0, group=_group_of(content))
                tensor.copy_(content)


def total(count: int) -> int:
    """Add a count up over all processes."""
    if num_processes() == 1:
        return count
    found = torch.tensor([count])
    add_up([found])
    return int(found)


def smallest(number: int) -> int:
    """The smallest of the numbers that all processes have."""
    return -largest(-number)


def largest(number: int) -> int:
    """The largest of the numbers that all processes have."""
    if num_processes() == 1:
        return number
    found = torch.tensor([number])
    with _talking("compare numbers"):
        distributed.all_reduce(found, distributed.ReduceOp.MAX, group=_World.group)
    return int(found)


def from_first(compute: Callable[[], T], what: str) -> T:
    """Compute plain data on the first process alone, and give it to all.

    Args:
        compute: returns what JSON can hold.
        what: completes "could not", such as "get the result of the check".

    Raises:
        ProcessError: if the first process ends meanwhile.
    """
    if num_processes() == 1:
        return compute()
    found = json.dumps(compute()).encode() if is_first() else b""
    return json.loads(bytes_of_first(found, what))


def bytes_of_first(data: bytes, what: str) -> bytes:
    """Give the bytes of the first process to all; arguments and errors as in `from_first`."""
    if num_processes() == 1:
        return data
    size = torch.tensor([len(data)])
    with _talking(what):
        distributed.broadcast(size, 0, group=_World.group)
        content = torch.empty(int(size), dtype=torch.uint8)
        if is_first() and data:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if len(content):
            distributed.broadcast(content, 0, group=_World.group)
    return content.numpy().tobytes()


def gather(values: list[T]) -> list[list[T]]:
    """Give every process the values of all, one list for each process; they are pickled on the way alone."""
    found: list[Any] = [values] * num_processes()
    if num_processes() > 1:
        with _talking("gather what the others computed"):
            distributed.all_gather_object(found, values, group=_World.group)
    return found


def require_equal(what: str, value: Any) -> None:
    """Stop unless all processes have found the same.

    Args:
        what: was found, such as "the modules to remove".
        value: plain data.

    Raises:
        ProcessError: if one has found something else.
    """
    if num_processes() == 1:
        return
    digest = hashlib.blake2b(json.dumps(value).encode(), digest_size=7).digest()
    number = int.from_bytes(digest)
    ends = torch.tensor([number, -number])
    with _talking(f"compare {what}"):
        distributed.all_reduce(ends, distributed.ReduceOp.MAX, group=_World.group)
    if int(ends[0]) != -int(ends[1]):
        raise ProcessError(
            f"The {num_processes()} processes have found different results: {what}. They must have the same versions, "
            "devices, data and settings. If they have, run with one process, and please report it."
        )
