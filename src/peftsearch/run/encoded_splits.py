"""The splits of a task as a model reads them, each encoded when it is first asked for."""

import random
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.tasks.task_format import TaskFormat


@dataclass(frozen=True)
class EncodedSplits:
    """The training, validation and test split.

    Args:
        task: examples of every split.
        task_format: how the task is put to the model.
        seed: of the examples that are drawn.
    """

    task: Task
    task_format: TaskFormat
    seed: int

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled for a worker, which scores no test split."""
        kept = {each.name for each in fields(self)} | {"train", "validation"}
        return {name: value for name, value in vars(self).items() if name in kept}

    @cached_property
    def train(self) -> EncodedSplit:
        """The training split."""
        examples = tuple(self.task.splits["train"])
        return EncodedSplit(examples, self.task_format.encode_for_training(examples))

    @cached_property
    def validation(self) -> EncodedSplit:
        """The split that selects epochs and learning rates."""
        return self._encoded("validation")

    @cached_property
    def test(self) -> EncodedSplit:
        """The split that is scored once, at the end."""
        return self._encoded("test")

    def some_of_validation(self, count: int) -> EncodedSplit:
        """So many examples of the validation split, drawn by the run's seed, for methods that score often.

        They keep their order; all are taken if there are no more.
        """
        examples = self.validation.examples
        if count >= len(examples):
            return self.validation
        drawn = random.Random(self.seed).sample(range(len(examples)), count)
        return self._encode(tuple(examples[i] for i in sorted(drawn)))

    def num_truncated(self) -> dict[str, int]:
        """Name of each split -> its examples that were cut to the longest length."""
        return {name: split.encoded.num_truncated for name, split in self._all().items()}

    def num_truncated_targets(self) -> dict[str, int]:
        """Name of each split -> its texts to write that were cut; none for tasks without them."""
        if self.task.goal is not Goal.TEXT:
            return {}
        return {name: split.encoded.num_truncated_targets for name, split in self._all().items()}

    def notes(self) -> tuple[str, ...]:
        """How many examples of a split are left out, since nothing of them that counts is within the limit."""
        return tuple(
            f"{split.encoded.num_left_out:,} of {len(split.examples):,} examples of the {name} split are left out, "
            "since the longest length ends before their completions begin."
            for name, split in self._all().items()
            if split.encoded.num_left_out
        )

    def _all(self) -> dict[str, EncodedSplit]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def _encoded(self, split: str) -> EncodedSplit:
        return self._encode(tuple(self.task.splits[split]))

    def _encode(self, examples: tuple[Example, ...]) -> EncodedSplit:
        return EncodedSplit(examples, self.task_format.encode(examples))
