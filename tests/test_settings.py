"""Values that no run could use are refused, and those that other libraries know are allowed."""

import pytest
from transformers.trainer_utils import SchedulerType

from peftsearch.run.config import make_config
from peftsearch.run.limits import TRAINING
from peftsearch.searches.method import METHODS
from peftsearch.settings import SettingError
from peftsearch.supernet.relaxation import RELAXATIONS
from peftsearch.supernet.sensitivity import SENSITIVITIES
from peftsearch.training.settings import TrainingSettings

MODEL = {"model": "m", "task": "t"}


@pytest.mark.parametrize(
    "group,name,value,message",
    [
        ("training", "learning_rate", -1, "training.learning_rate is -1.0, but must be above 0"),
        ("training", "learning_rate", float("nan"), "training.learning_rate is nan"),
        ("training", "num_train_epochs", float("inf"), "training.num_train_epochs is inf"),
        ("training", "per_device_train_batch_size", 0, "must be 1 or more"),
        ("training", "bf16", "maybe", "must be one of auto, true, false"),
        ("training", "bf16", True, "in YAML, write it in quotes"),
        ("training", "lr_scheduler_type", "step", "must be one of linear"),
        ("method", "order", "sideways", "must be one of iterative"),
        ("method", "selection", "earlyy", "must be one of early, final"),
        ("method", "decay", 1, "must be from 0 to below 1"),
        ("method", "threshold", 1.5, "must be from -1 to 1"),
        ("method", "window", 0, "must be 1 or more"),
    ],
)
def test_a_value_out_of_its_range_is_refused_before_the_run(group, name, value, message):
    with pytest.raises(SettingError, match=message):
        make_config(MODEL | {group: {name: value}})


@pytest.mark.parametrize("name", ["sampling", "sensitivity"])
def test_every_name_that_the_search_knows_is_allowed(name):
    for value in {"sampling": RELAXATIONS, "sensitivity": SENSITIVITIES}[name]:
        assert getattr(make_config(MODEL | {"method": {name: value}}).method, name) == value


def test_allowed_schedules_are_those_of_transformers():
    limit = TRAINING["lr_scheduler_type"]
    allowed = {schedule.value for schedule in SchedulerType if limit.holds(schedule.value)}
    assert allowed == set(limit.words.removeprefix("one of ").split(", "))


def test_every_limit_belongs_to_a_setting():
    for entry in METHODS:
        settings = METHODS[entry].settings
        assert set(settings.LIMITS) <= set(settings.__dataclass_fields__)
    assert set(TRAINING) <= set(TrainingSettings.__dataclass_fields__)
