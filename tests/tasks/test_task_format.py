"""Both forms on a tiny model of every family."""

import pytest
import torch

from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.testing.tiny_models import TINY, tiny_tokenizer

_EXAMPLES = tuple(Example((("a:", "x" * (3 + 9 * i)), ("b:", "y")), i % 2) for i in range(5))
_TASK = Task(
    "toy", Goal.CLASSIFICATION, ("no", "yes"), "f1", "f1", dict.fromkeys(("train", "validation", "test"), _EXAMPLES),
    "all", 64,
)  # fmt: skip


@pytest.mark.parametrize("family", TINY)
def test_every_family_learns_from_and_answers_a_batch(family):
    model, tokenizer = TINY[family]().eval(), tiny_tokenizer()
    task_format = make_task_format(
        _TASK, tokenizer=tokenizer, is_encoder_decoder=model.config.is_encoder_decoder, max_length=_TASK.max_length
    )
    encoded = task_format.encode(_EXAMPLES)
    batch = task_format.collate([encoded[i] for i in range(len(encoded))])
    with torch.inference_mode():
        assert torch.isfinite(model(**batch).loss)
        together = task_format.predict(model, batch)
        alone = [task_format.predict(model, task_format.collate([encoded[i]]))[0] for i in range(len(encoded))]
    # Padding changes the last digits of the logits.
    assert together == [pytest.approx(row, abs=1e-6) for row in alone]
    assert [sum(row) for row in together] == [pytest.approx(1.0)] * len(_EXAMPLES)
    assert set(task_format.score(together, _EXAMPLES)) == {"f1"}
