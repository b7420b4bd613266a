"""A run says at its start what its result can be exported as, and it is right."""

import logging

import pytest

from peftsearch import plan, search, train
from peftsearch.run.dry_run import describe_search, describe_train
from peftsearch.run.make_config import make_config

SERVABLE = "servable (vLLM, llama.cpp, no task head)"


def last_line(text: str) -> str:
    return text.splitlines()[-1]


def test_a_search_says_it_before_and_at_its_start(settings, tiny_folder, caplog):
    given = settings(space="lora", baseline=False)
    words = f"always plain LoRA, mergeable and {SERVABLE}"
    assert last_line(describe_search(make_config(given))) == f"result    {words}"
    assert plan(tiny_folder("bert"), space="lora").result == words
    with caplog.at_level(logging.INFO, "peftsearch"):
        result = search(**given)
    assert f"The result is {words}." in caplog.messages
    assert (result.folder / "lora" / "adapter_config.json").is_file()


def test_a_baseline_that_may_be_handed_over_counts(settings):
    given = settings(space="lora", baselines="lnfit_lora")
    words = f"always plain LoRA and mergeable; {SERVABLE} unless it holds lnfit"
    assert last_line(describe_search(make_config(given))) == f"result    {words}"
    kept = describe_search(make_config(given | {"keep": "searched"}))
    assert last_line(kept) == f"result    always plain LoRA, mergeable and {SERVABLE}"


@pytest.mark.parametrize(
    "configuration,words",
    [
        ("lnfit", f"plain LoRA and mergeable; not {SERVABLE}, because of lnfit"),
        ("prefix", f"not plain LoRA, mergeable or {SERVABLE}, because of prefix"),
        ("adalora", f"plain LoRA, mergeable and {SERVABLE}"),
        ("head", "the model as it is with a trained task head, in one checkpoint when merged"),
        ("full", "a whole model, not LoRA: its checkpoint is all there is"),
    ],
)
def test_a_training_says_it_of_what_it_trains(configuration, words, settings):
    given = settings(configuration=configuration, budget="", method={})
    assert last_line(describe_train(make_config(given))) == f"result    {words}"


def test_a_training_says_it_at_its_start(settings, caplog):
    with caplog.at_level(logging.INFO, "peftsearch"):
        result = train(**settings(configuration="prefix", budget="", method={}))
    assert f"The result is not plain LoRA, mergeable or {SERVABLE}, because of prefix." in caplog.messages
    assert not (result.folder / "lora").exists()
