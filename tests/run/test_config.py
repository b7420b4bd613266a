import pytest

from peftsearch.errors import PeftSearchError, RunFolderError
from peftsearch.run.make_config import make_config, read_config
from peftsearch.run.same_run import check_same_run
from peftsearch.settings import SettingError


def test_a_config_file_gives_the_settings_back(tmp_path):
    config = make_config(
        {
            "model": "demo",
            "task": "glue/rte",
            "budget": "0.5%,0.1%",
            "method": {"name": "bipeft", "window": 7},
            "training": {"learning_rate": "3e-4"},
        }
    )
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert read_config(tmp_path / "config.yaml") == config
    assert config.method.window == 7 and config.training.learning_rate == 3e-4


def test_a_manual_configuration_is_its_own_method():
    config = make_config({"model": "demo", "task": "demo", "configuration": "lora", "method": {"rank": 2}})
    assert config.method_name == "lora" and config.method.rank == 2


@pytest.mark.parametrize(
    "settings,message",
    [
        ({}, "No model is given"),
        ({"model": "m", "bugdet": "1%"}, "Did you mean 'budget'"),
        ({"model": "m", "method": {"serches": "pursuit"}}, "Did you mean 'method.searches'"),
        ({"model": "m", "method": 3}, "'method' is 3"),
        ({"model": "m", "training": {"learning_rate": "fast"}}, "training.learning_rate is 'fast'.*a number"),
        ({"model": "m", "seed": 1.5}, "seed is 1.5, but must be a whole number"),
        ({"model": "m", "seed": True}, "seed is True"),
        ({"model": "m", "seed": float("inf")}, "seed is inf, but must be a whole number"),
        ({"model": "m", "seed": 10**12}, "seed is 1000000000000, but must be from 0"),
        ({"model": "m", "budget": None}, "budget is None, but must be text"),
        ({"model": "m", "learning_rate_grid": "1e-3,inf"}, "must be rates above 0"),
        ({"model": "m", "method_name": "lora"}, "Did you mean 'method'"),
        ({"model": "m", "baseline": "no"}, "baseline is 'no', but must be true or false"),
        ({"model": "m", "baselines": "uniform_lora,lora_qvv"}, "Unknown baseline 'lora_qvv'. Did you mean 'lora_qv'?"),
        ({"model": "m", "baselines": "full"}, "Unknown baseline 'full'"),
        ({"model": "m", "baselines": "lnfit, lnfit"}, "baselines is 'lnfit, lnfit', but must be names that differ"),
        ({"model": "m", "baselines": "lnfit", "baseline": False}, "must be left out with --baseline false"),
        ({"model": "m", "keep": "best"}, "keep is 'best', but must be one of better, searched"),
        ({"model": ["a"]}, "model is .*must be text"),
        ({"model": "m", "budget": "1%,x"}, "Cannot read the budget 'x'"),
    ],
)
def test_wrong_settings_are_named_with_what_is_allowed(settings, message):
    with pytest.raises(PeftSearchError, match=message):
        make_config(settings)


@pytest.mark.parametrize(
    "settings,names,has_uniform_lora",
    [
        ({}, ["uniform_lora"], True),
        ({"baselines": "lnfit_lora, uniform_lora"}, ["lnfit_lora", "uniform_lora"], True),
        ({"baselines": "lora_top"}, ["lora_top"], False),
        ({"baselines": ""}, [], False),
        ({"baseline": False}, [], False),
    ],
)
def test_baselines_are_named_and_switched_off(settings, names, has_uniform_lora):
    config = make_config({"model": "m", "task": "t", **settings})
    assert config.baseline_names == names and config.has_uniform_lora is has_uniform_lora


def test_where_a_run_is_written_is_not_part_of_it():
    first = make_config({"model": "m", "task": "t", "output": "a"})
    check_same_run(make_config({"model": "m", "task": "t", "output": "b", "resume": True}), first)
    with pytest.raises(RunFolderError, match="seed: was 0, is 1"):
        check_same_run(make_config({"model": "m", "task": "t", "seed": 1}), first)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00"])
def test_a_file_that_is_not_a_mapping_is_refused(text, tmp_path):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(SettingError, match="run.yaml"):
        read_config(tmp_path / "run.yaml")


def test_a_setting_of_the_training_at_the_top_is_told_where_it_belongs():
    with pytest.raises(SettingError, match=r"'num_train_epochs' is a setting of the training\..*below 'training:'"):
        make_config({"model": "demo", "task": "demo", "num_train_epochs": 1})
