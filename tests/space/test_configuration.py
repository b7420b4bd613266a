import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.errors import ConfigurationError
from peftsearch.space import Choice, Configuration

CHOICES = st.builds(Choice, st.text(max_size=5), st.sampled_from(["lora", "bitfit"]), st.integers(1, 8))


@given(st.lists(CHOICES, unique_by=lambda c: (c.site, c.kind)))
def test_json_gives_the_configuration_back(choices):
    configuration = Configuration.of(choices)
    assert Configuration.from_json(configuration.to_json()) == configuration


def test_equal_configurations_write_equal_text():
    a, b = Choice("x", "lora", 2), Choice("y", "bitfit")
    assert Configuration.of([a, b]).to_json() == Configuration.of([b, a]).to_json()


def test_the_json_is_readable_by_other_programs():
    document = json.loads(Configuration.of([Choice("encoder.0.query", "lora", 4)]).to_json())
    assert document == {"schema_version": 1, "choices": [{"site": "encoder.0.query", "kind": "lora", "rank": 4}]}


def test_two_ranks_of_one_kind_at_one_site_are_refused():
    with pytest.raises(ConfigurationError, match="lora at x is chosen with several ranks"):
        Configuration.of([Choice("x", "lora", 1), Choice("x", "lora", 2)])


@pytest.mark.parametrize(
    "text,message",
    [
        ("nope", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "list 'choices'"),
        ('{"choices": []}', "Schema version None"),
        ('{"choices": [], "schema_version": 2}', "Upgrade peftsearch"),
        ('{"choices": [], "schema_version": true}', "Schema version True"),
        ('{"choices": [{"site": "x"}], "schema_version": 1}', "'site', 'kind' and 'rank'"),
        ('{"choices": [{"site": "x", "kind": "l", "run": 1}], "schema_version": 1}', "but found"),
        ('{"choices": [{"site": "x", "kind": "l", "rank": "4"}], "schema_version": 1}', "'rank'.*must be int"),
        ('{"choices": [{"site": "x", "kind": "l", "rank": 0}], "schema_version": 1}', "must be 1 or more"),
    ],
)
def test_malformed_text_is_refused(text, message):
    with pytest.raises(ConfigurationError, match=message):
        Configuration.from_json(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="nothing.json"):
        Configuration.load(tmp_path / "nothing.json")
