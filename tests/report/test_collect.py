import json

import pytest

from peftsearch.errors import ConfigurationError, RunFolderError
from peftsearch.report.collect import collect, collect_finished


def test_a_finished_run_is_read_whole(run):
    record = collect(run)
    assert record.is_finished and len(record.configuration) == 2 and len(record.search_log) == 6
    assert list(record.training_logs) == ["seed 0", "uniform LoRA, seed 0"]


def test_an_unfinished_run_has_what_it_logged(unfinished):
    record = collect(unfinished)
    assert not record.is_finished and record.configuration is None and len(record.search_log) == 6


def test_what_needs_results_refuses_an_unfinished_run(unfinished):
    with pytest.raises(RunFolderError, match=r"has no results\.json. Finish the run with --resume"):
        collect_finished(unfinished)


@pytest.mark.parametrize("read", [collect, collect_finished])
def test_a_folder_that_is_no_run_is_refused(tmp_path, read):
    with pytest.raises(RunFolderError, match=r"not a run folder: it has neither config\.yaml nor results\.json"):
        read(tmp_path / "nowhere")


def test_a_missing_file_of_a_run_is_named(run):
    (run / "sites.json").unlink()
    with pytest.raises(RunFolderError, match=r"has no sites\.json"):
        collect(run)


@pytest.mark.parametrize(
    "name,text,message",
    [
        ("results.json", "{", "not valid JSON"),
        ("results.json", "[" * 100_000, "not valid JSON"),
        ("results.json", "[]", "must hold a JSON dict, found list"),
        ("results.json", '{"method": "bipeft"}', "lacks space, model"),
        ("sites.json", "{}", "must hold a JSON list, found dict"),
        ("environment.json", "3", "must hold a JSON dict, found int"),
        ("search/log.jsonl", '{"step"\n{"step": 1}\n', "Line 1 of .* is not valid JSON"),
        ("search/log.jsonl", '{"loss": 1}\n', "Line 1 of .* must be an object with 'step'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(run, name, text, message):
    (run / name).write_text(text)
    with pytest.raises(RunFolderError, match=message):
        collect(run)


def test_bytes_that_are_no_text_are_refused(run):
    (run / "config.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(RunFolderError, match="Cannot read .*config.yaml"):
        collect(run)


def test_a_malformed_configuration_is_refused(run):
    (run / "configuration.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="list 'choices'"):
        collect(run)


def test_a_last_line_that_a_kill_cut_off_is_left_out(run):
    with (run / "search" / "log.jsonl").open("a") as file:
        file.write('{"step": 7, "loss_wei')
    assert [row["step"] for row in collect(run).search_log] == list(range(6))


def test_seeds_come_in_the_order_of_their_numbers(run):
    for seed in (10, 2):
        path = run / "training" / f"seed-{seed}" / "log.jsonl"
        path.parent.mkdir()
        path.write_text(json.dumps({"step": 1, "loss": 1.0}))
    assert list(collect(run).training_logs)[:3] == ["seed 0", "seed 2", "seed 10"]
