"""The instruction example: its dates are right, distinct, and always the same."""

from datetime import datetime

from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.task import Goal


def test_every_date_is_written_as_the_prompt_asks():
    task = load_task(TaskRequest(task="demo-sft", seed=3))
    assert task.goal is Goal.INSTRUCTIONS and task.metrics[0] == "loss"
    assert {name: len(found) for name, found in task.splits.items()} == {"train": 80, "validation": 20, "test": 20}
    examples = [example for split in task.splits.values() for example in split]
    prompts = [example.fields[0][1] for example in examples]
    assert len(set(prompts)) == 120 and prompts[0] == "Write February 15, 1969 as an ISO 8601 date.\n"
    for prompt, example in zip(prompts, examples, strict=True):
        day = datetime.strptime(prompt, "Write %B %d, %Y as an ISO 8601 date.\n").date()
        assert example.answers == (day.isoformat(),)


def test_fewer_can_be_taken():
    assert len(load_task(TaskRequest(task="demo-sft", max_train_samples=12)).splits["train"]) == 12
