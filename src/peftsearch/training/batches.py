"""The order in which batches come, and how it is taken up again."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, Subset
from transformers.trainer_pt_utils import LengthGroupedSampler

from peftsearch.processes import own_slice
from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.training.micro_batches import Batch

T = TypeVar("T")


def length_grouped(dataset: Dataset, batch_size: int, seed: int) -> LengthGroupedSampler:
    """Shuffle so that examples of like length share a batch: short texts are not padded to the longest.

    Args:
        dataset: items have a `length` in tokens.
        batch_size: examples.
        seed: of the sampler's own generator.
    """
    return LengthGroupedSampler(
        batch_size, lengths=_lengths_of(dataset), generator=torch.Generator().manual_seed(seed)
    )


def _lengths_of(dataset: Any) -> list[int]:
    """Lengths of the rows of a dataset, of encoded examples without making the rows."""
    if isinstance(dataset, Subset):
        lengths = _lengths_of(dataset.dataset)
        return [lengths[i] for i in dataset.indices]
    return (
        dataset.lengths if isinstance(dataset, EncodedDataset) else [dataset[i]["length"] for i in range(len(dataset))]
    )


class OwnSlices(Sampler[list[int]]):
    """This process's slice of each batch: together the processes see the batches that one alone would see.

    Of a batch with fewer examples than there are processes, some get an example that another one has too.

    Args:
        sampler: gives the same order in every process.
        batch_size: examples of a batch over all processes.
    """

    def __init__(self, sampler: Sampler, batch_size: int):
        self.sampler = sampler
        self._batches = BatchSampler(sampler, batch_size, drop_last=False)

    def __iter__(self) -> Iterator[list[int]]:
        """Draw an order and cut it into batches."""
        for batch in self._batches:
            yield own_slice(batch) or batch[-1:]

    def __len__(self) -> int:
        """Count the batches."""
        return len(self._batches)


def skip_passes(sampler: Sampler, passes: int) -> None:
    """Advance a new sampler that draws from its own generator by so many passes over its data."""
    for _ in range(passes):
        iter(sampler)


def endless(make_loader: Callable[[], Iterable[T]]) -> Iterator[T]:
    """Iterate over batches for ever, newly shuffled in each pass.

    The loader must not be prepared by accelerate: a prepared loader that never ends hides the end of the training
    loader's epoch and with it the last gradient synchronisation.

    Args:
        make_loader: called when the first batch is wanted.
    """
    loader = make_loader()
    while True:
        yield from loader


class RepeatableBatches(Iterator[Batch]):
    """Infinite iterator over batches that can be fast-forwarded to a saved position.

    Args:
        make_loader: called when the first batch is wanted; its sampler draws from a generator of its own.
    """

    def __init__(self, make_loader: Callable[[], DataLoader]):
        self._loader = cache(make_loader)
        self._batches = endless(self._loader)
        self._num_taken = 0

    def __next__(self) -> Batch:
        self._num_taken += 1
        return next(self._batches)

    def state_dict(self) -> int:
        """Number of batches taken so far."""
        return self._num_taken

    def load_state_dict(self, state: int) -> None:
        """Pass over as many batches."""
        if state:
            # The next pass starts when its first batch is wanted.
            passes, rest = divmod(state - 1, len(self._loader()))
            batches: Any = self._loader().batch_sampler  # a DataLoader's own, or `OwnSlices`
            skip_passes(batches.sampler, passes)
            for _ in range(rest + 1):
                next(self._batches)
        self._num_taken = state
