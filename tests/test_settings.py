"""Values that no run could use are refused, and those that other libraries know are allowed."""

from dataclasses import dataclass, fields, replace

import pytest
from transformers.trainer_utils import SchedulerType

from peftsearch.run.make_config import make_config
from peftsearch.searches.method import METHODS, MethodSettings
from peftsearch.settings import SettingError, Settings, at_least, build_settings, limited
from peftsearch.supernet.architecture import RELAXATIONS
from peftsearch.supernet.sensitivity import SENSITIVITIES
from peftsearch.training.settings import TrainingSettings

MODEL = {"model": "m", "task": "t"}


@pytest.mark.parametrize(
    "group,name,value,message",
    [
        ("training", "learning_rate", -1, "training.learning_rate is -1.0, but must be 'auto' or a number above 0"),
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
        make_config(MODEL | {group: ({"name": "bipeft"} if group == "method" else {}) | {name: value}})


@pytest.mark.parametrize("name", ["sampling", "sensitivity"])
def test_every_name_that_the_search_knows_is_allowed(name):
    for value in {"sampling": RELAXATIONS, "sensitivity": SENSITIVITIES}[name]:
        assert getattr(make_config(MODEL | {"method": {"name": "bipeft", name: value}}).method, name) == value


def test_allowed_schedules_are_those_of_transformers():
    limit = {f.name: f.metadata.get("limit") for f in fields(TrainingSettings)}["lr_scheduler_type"]
    allowed = {schedule.value for schedule in SchedulerType if limit.holds(schedule.value)}
    assert allowed == set(limit.words.removeprefix("one of ").split(", "))


@pytest.mark.parametrize(
    "settings_class", [TrainingSettings, *dict.fromkeys(METHODS[name].settings for name in METHODS)]
)
def test_every_setting_but_switches_and_free_text_has_a_limit(settings_class):
    free = {f.name for f in fields(settings_class) if f.type is not bool and "limit" not in f.metadata}
    assert free <= {"roles", "searches", "recipes", "candidates", "trainable_tokens"}


def test_settings_cannot_be_made_out_of_range_in_any_way():
    with pytest.raises(SettingError, match=r"training\.learning_rate is 0, but must be 'auto' or a number above 0\."):
        TrainingSettings(learning_rate=0)
    with pytest.raises(SettingError, match=r"training\.save_steps is -1, but must be 0 or more\."):
        replace(TrainingSettings(), save_steps=-1)
    with pytest.raises(SettingError, match=r"method\.window is 0, but must be 1 or more\."):
        METHODS["bipeft"].settings(window=0)
    with pytest.raises(SettingError, match=r"method\.batch is 0, but must be 1 or more\."):
        METHODS["autopeft"].settings(batch=0)


@dataclass(frozen=True)
class OwnSettings(MethodSettings):
    """Settings of a method of someone else."""

    trials: int = limited(8, at_least(1))


def test_settings_of_ones_own_are_limited_by_the_same_words():
    assert OwnSettings().trials == 8 and build_settings(OwnSettings, {"trials": "3"}).trials == 3
    with pytest.raises(SettingError, match=r"method\.trials is 0, but must be 1 or more\."):
        build_settings(OwnSettings, {"trials": 0})
    with pytest.raises(SettingError, match=r"Unknown setting 'method\.trails'\. Did you mean 'method\.trials'\?"):
        build_settings(OwnSettings, {"trails": 1})


def test_a_path_is_as_good_as_its_text(tmp_path):
    @dataclass(frozen=True)
    class WithFile(Settings):
        data: str = ""

    assert build_settings(WithFile, {"data": tmp_path / "a.csv"}).data == str(tmp_path / "a.csv")
