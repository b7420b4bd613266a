import json

from report.conftest import results, score

from peftsearch.report.collect import collect
from peftsearch.report.table import kind_rows, print_summary, score_rows, split_rows, summary_rows
from peftsearch.space import Choice, Configuration


def test_the_summary_states_budget_share_and_head(run):
    rows = dict(summary_rows(collect(run)))
    assert rows["parameters"] == "990 of 1,000 allowed (0.1%); 0.099% of the backbone's 1,000,000"
    assert rows["task head"] == "66 parameters, not in the budget"
    assert rows["test accuracy"] == "91.00" and rows["uniform LoRA, test"].startswith("90.00 with 900 parameters")


def test_a_manual_run_has_no_search_and_no_budget(run):
    changed = results(budget=None, space=None, search_cost=None, baseline=None)
    (run / "results.json").write_text(json.dumps(changed))
    rows = dict(summary_rows(collect(run)))
    assert rows["method"] == "bipeft" and rows["seconds"] == "training 10" and "uniform LoRA, test" not in rows
    assert rows["parameters"].startswith("990; ")


def test_an_unfinished_run_has_no_summary(unfinished):
    assert summary_rows(collect(unfinished)) == []


def test_scores_name_the_baseline_by_rank_and_roles():
    baseline = {"rank": 2, "roles": ["ffn_in"], "parameters": 9, "validation": score(1.0), "test": score(2.0, 0.5)}
    ours, theirs = score_rows(results(baseline=baseline))
    assert ours == ("this configuration", "990", "90.00", "91.00", "91.00")
    assert theirs == ("uniform LoRA, rank 2 on ffn in", "9", "1.00", "2.00 ± 0.50 (3 seeds)", "1.50, 2.00, 2.50")


def test_kinds_are_counted_by_rank_and_role():
    choices = [Choice(f"encoder.{i}.query", "lora", rank) for i, rank in enumerate((1, 8, 8))]
    rows = kind_rows(Configuration.of([*choices, Choice("encoder.final_norm", "lnfit")]))
    assert rows == [
        ("lnfit", "1", "1 of rank 1", "1 final norm"),
        ("lora", "3", "1 of rank 1, 2 of rank 8", "3 query"),
    ]


def test_a_split_without_a_record_of_truncation_says_so():
    document = results(split={"rule": "", "sizes": {"train": 1234, "test": 5}}, truncated_examples={"train": 7})
    assert split_rows(document) == [("train", "1,234", "7"), ("test", "5", "not recorded")]


def test_the_terminal_shows_the_same_rows_and_takes_markup_as_text(run, capsys):
    changed = results(model="[red]m[/red]", notes=["[bold]note[/bold]"])
    (run / "results.json").write_text(json.dumps(changed))
    print_summary(run)
    out = capsys.readouterr().out
    assert "bipeft" in out and "[red]m[/red]" in out and "[bold]note[/bold]" in out and str(run.name) in out
