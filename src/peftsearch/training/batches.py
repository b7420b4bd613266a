"""The order in which batches come."""

import torch
from torch.utils.data import Dataset
from transformers.trainer_pt_utils import LengthGroupedSampler


def length_grouped(dataset: Dataset, batch_size: int, seed: int) -> LengthGroupedSampler:
    """Shuffle so that examples of like length share a batch: short texts are not padded to the longest."""
    lengths = [dataset[i]["length"] for i in range(len(dataset))]
    return LengthGroupedSampler(batch_size, lengths=lengths, generator=torch.Generator().manual_seed(seed))
