"""What is told of exports before a run is what the exports then do."""

import pytest
from export_cases import source_on, spread

from peftsearch.errors import ExportError
from peftsearch.exports.export_format import FORMATS
from peftsearch.exports.outlook import describe_configuration, describe_space, find_outlooks
from peftsearch.exports.writing import write_export
from peftsearch.kinds import KINDS, LoraUpdate
from peftsearch.models.discover import find_sites
from peftsearch.modules.costs import cost_at
from peftsearch.space import SPACES, Choice, Configuration, SearchSpace
from peftsearch.testing.tiny_models import TINY

SERVABLE = "servable (vLLM, llama.cpp, no task head)"
CLAIMED = [name for name in FORMATS if FORMATS[name].claim]


def largest(space: str, family: str) -> Configuration:
    return SearchSpace.build(SPACES[space], sites=find_sites(TINY[family]()), cost=cost_at).largest


def test_what_users_ask_for_is_claimed():
    assert CLAIMED == ["lora", "merged", "servable"]


@pytest.mark.parametrize("format", CLAIMED)
@pytest.mark.parametrize("family", ["bert", "t5", "gpt2"])  # T5 has no biases, GPT-2 transformers' Conv1D
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_outlook_of_each_kind_is_what_its_export_does(kind, family, format, tmp_path):
    base = TINY[family]()
    sites = find_sites(base)
    modules = spread(sites, list(dict.fromkeys((kind, "lora"))))
    outlook = find_outlooks(modules, sites)[format]
    assert outlook.obstacles in ((), (kind,), (f"{kind} at some layers",))
    source = source_on(base, modules)
    if outlook.obstacles:
        with pytest.raises(ExportError, match=f"cannot become .*{kind} \\("):
            write_export(source, format, tmp_path / "out")
    else:
        assert write_export(source, format, tmp_path / "out").difference is not None


@pytest.mark.parametrize("format", ["lora", "merged"])
@pytest.mark.parametrize("family", list(TINY))
@pytest.mark.parametrize("space", ["mixed", "lora"])
def test_all_of_mixed_and_lora_is_plain_lora_and_merges_in_every_family(space, family, format, tmp_path):
    base, modules = TINY[family](), largest(space, family)
    assert not find_outlooks(modules, find_sites(base))[format].obstacles
    assert write_export(source_on(base, modules), format, tmp_path / "out").difference is not None


@pytest.mark.parametrize(
    "space,family,words",
    [
        ("mixed", "bert", f"always plain LoRA and mergeable; {SERVABLE} unless it holds bitfit or lnfit"),
        ("mixed", "t5", f"always plain LoRA and mergeable; {SERVABLE} unless it holds lnfit"),
        ("lora", "t5", f"always plain LoRA, mergeable and {SERVABLE}"),
        ("s1", "bert", f"never plain LoRA, mergeable or {SERVABLE}"),
        (
            "s2",
            "bert",
            "plain LoRA and mergeable unless it holds low_rank_adapter; "
            f"{SERVABLE} unless it holds bitfit, lnfit or low_rank_adapter",
        ),
        (
            "s2",
            "t5",
            "plain LoRA unless it holds bitfit at some layers or low_rank_adapter; "
            "mergeable unless it holds bitfit or low_rank_adapter; "
            f"{SERVABLE} unless it holds bitfit, lnfit or low_rank_adapter",
        ),
    ],
)
def test_a_space_is_described_by_what_each_of_its_results_is(space, family, words):
    assert describe_space(largest(space, family), find_sites(TINY[family]())) == words


@pytest.mark.parametrize(
    "kinds,words",
    [
        (("lora",), f"plain LoRA, mergeable and {SERVABLE}"),
        (("lora", "bitfit"), f"plain LoRA and mergeable; not {SERVABLE}, because of bitfit"),
        (("ia3",), f"mergeable; not plain LoRA or {SERVABLE}, because of ia3"),
        (("prefix", "lora"), f"not plain LoRA, mergeable or {SERVABLE}, because of prefix"),
        (
            ("lnfit", "prefix"),
            f"not plain LoRA or mergeable, because of prefix; not {SERVABLE}, because of lnfit and prefix",
        ),
    ],
)
def test_a_configuration_is_described_by_what_it_is_and_what_prevents_the_rest(kinds, words):
    sites = find_sites(TINY["bert"]())
    assert describe_configuration(spread(sites, kinds), sites) == words


def test_a_kind_that_says_it_is_lora_is_believed_before_the_run_too(monkeypatch):
    monkeypatch.setattr(
        KINDS["ia3"], "as_lora", lambda module, layer: LoraUpdate(layer.weight, layer.weight.T @ layer.weight)
    )
    sites = find_sites(TINY["bert"]())
    outlooks = find_outlooks(Configuration.of([Choice("encoder.0.key", "ia3")]), sites)
    assert not outlooks["lora"].obstacles and not outlooks["servable"].obstacles
