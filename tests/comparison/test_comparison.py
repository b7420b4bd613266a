"""Comparisons of a few seconds on tiny models, started again as users do."""

import csv
import importlib.util
import json
from pathlib import Path

import fsspec
import pytest
import yaml

from peftsearch import compare
from peftsearch.cli.main import main
from peftsearch.comparison import runs
from peftsearch.comparison.config import check_same_comparison, make_compare_config
from peftsearch.errors import PeftSearchError, RunFolderError

BIPEFT = {"max_triggers": 3, "warmup": 0.3, "weight_warmup": 1, "window": 1}


@pytest.fixture
def comparison(reviews, tiny_folder, tmp_path):
    """Settings of a small comparison: a task from a YAML file beside its data, and one as a csv triple."""
    train, valid, test = map(Path, reviews.split(","))
    for path in (train, valid, test):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    task = {"data": "train.csv,valid.csv", "text": "review", "label": "stars"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(task))
    triple = {"name": "triple", "data": reviews, "text": "review", "label": "stars"}

    def make(**changes) -> dict:
        training = {
            "num_train_epochs": 1,
            "per_device_train_batch_size": 16,
            "learning_rate": 3e-3,
            "max_seq_length": 32,
        }
        return {
            "model": tiny_folder("bert"),
            "methods": {"bipeft": BIPEFT, "low_rank_adapter": {}, "lora": {}},
            "tasks": [str(tmp_path / "mine.yaml"), triple],
            "budget": "1200",
            "seeds": 2,
            "output": str(tmp_path / "cmp"),
            "threads": 1,
            "verify": False,
            "training": training,
        } | changes

    return make


def results(folder: Path) -> dict[Path, int]:
    """Every finished run and when it was written."""
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("seed-*/results.json")}


def without_times(folder: Path) -> dict:
    document = json.loads((Path(folder) / "comparison.json").read_text())
    del document["facts"]["wall_seconds"]
    for entry in (*document["rows"], *document["cells"]):
        del entry["search_seconds"], entry["train_seconds"]
    return document


def test_a_comparison_is_written_in_every_form_and_goes_on_where_it_stopped(comparison, tmp_path):
    found = compare(**comparison())
    folder = tmp_path / "cmp"
    before = results(folder)
    assert len(before) == 2 * 3 * 2
    assert {row.method for row in found.rows} == {"bipeft", "low_rank_adapter", "lora"}
    for row in found.rows:
        assert 0 < row.parameters <= 1200
        assert row.errors == () and row.open == 0
        assert row.average == pytest.approx((row.scores["mine"].mean + row.scores["triple"].mean) / 2)
        assert (row.against is None) == (row.method == "lora")
        assert row.against is None or row.against.pairs == 4
        assert (row.space, row.search_seconds is None) == (("s2", False) if row.method == "bipeft" else (None, True))
    assert [row.average for row in found.rows] == sorted((row.average for row in found.rows), reverse=True)

    saved = json.loads((folder / "comparison.json").read_text())
    cell = next(c for c in saved["cells"] if (c["task"], c["method"], c["seed"]) == ("mine", "bipeft", 1))
    run = json.loads((folder / "mine" / "bipeft" / "seed-1" / "results.json").read_text())
    assert cell["test"] == run["test"]["value"] and run["seed"] == 1 and run["baseline"] is None
    rows = list(csv.DictReader((folder / "comparison.csv").open()))
    assert [row["method"] for row in rows] == [row.method for row in found.rows]
    assert float(rows[0]["average"]) == found.rows[0].average
    html = (folder / "comparison.html").read_text()
    assert "<svg" in html and "triple" in html and "src=" not in html
    assert 'href="mine/bipeft/seed-1/report.html"' in html
    assert main(["report", str(folder)]) == 0 and (folder / "comparison.html").read_text() == html
    markdown = (folder / "comparison.md").read_text()
    assert "1,200 parameters" in markdown and "scored once" in markdown and "halved" not in markdown.split("|")[0]
    assert "bipeft" in (folder / "comparison.txt").read_text()

    removed = folder / "triple" / "low_rank_adapter" / "seed-1"
    for path in sorted(removed.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    table = without_times(folder)
    compare(**comparison())
    after = results(folder)
    assert {path for path in after if after[path] != before[path]} == {removed / "results.json"}
    assert without_times(folder) == table


def test_a_run_that_was_cut_off_is_resumed_and_not_with_other_settings(comparison, tmp_path):
    settings = comparison(methods="lora", tasks=comparison()["tasks"][1:], seeds=1)
    compare(**settings)
    folder = tmp_path / "cmp" / "triple" / "lora" / "seed-0"
    trained = folder / "training" / "seed-0" / "trained.json"
    written = trained.stat().st_mtime_ns
    (folder / "results.json").unlink()
    assert compare(**settings).rows[0].errors == () and trained.stat().st_mtime_ns == written

    (folder / "results.json").unlink()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"budget": "900"}))
    assert "budget: was '900', is '1200'" in compare(**settings).rows[0].errors[0]


def test_the_first_seed_chooses_the_learning_rate_of_the_others(comparison, tmp_path):
    settings = comparison(methods="lora", tasks=comparison()["tasks"][1:], learning_rate_grid="1e-3,1e-2")
    found = compare(**settings)
    folder = tmp_path / "cmp" / "triple" / "lora"
    assert len(list((folder / "seed-0" / "training" / "grid").iterdir())) == 2
    assert not (folder / "seed-1" / "training" / "grid").exists()
    first, second = found.runs
    failed = folder / "seed-1" / "training" / "seed-1" / "failed_start.json"
    # A training that is no better than guessing starts again at another rate than the one that was chosen.
    started_at = json.loads(failed.read_text())["learning_rate"] if failed.exists() else second.learning_rate
    assert first.learning_rate == started_at and started_at in (1e-3, 1e-2)


def test_each_seed_of_a_race_tries_rates(comparison, tmp_path):
    race = {"race": {"searches": "", "recipes": "lora,lnfit", "rates": 2, "cost": 4}}
    settings = comparison(methods=race, tasks=comparison()["tasks"][1:], seeds=2)
    settings["training"] = settings["training"] | {"learning_rate": "auto"}
    compare(**settings)
    for seed in (0, 1):
        lanes = (
            (tmp_path / "cmp" / "triple" / "race" / f"seed-{seed}" / "search" / "lanes.jsonl").read_text().splitlines()
        )
        assert len({json.loads(lane)["lane"].split(" at ")[1] for lane in lanes}) == 2


def test_a_failing_method_is_recorded_and_tried_again(comparison, tmp_path, capsys):
    # Rank 64 is above the budget, so that each of its runs fails.
    settings = comparison(methods={"low_rank_adapter": {"rank": 64}}, tasks=comparison()["tasks"][1:])
    found = compare(**settings)
    assert [row.method for row in found.rows] == ["lora", "low_rank_adapter"]
    assert found.rows[0].errors == () and len(found.rows[1].errors) == 2
    assert "above the budget of 1,200" in found.rows[1].errors[0]
    failure = tmp_path / "cmp" / "triple" / "low_rank_adapter" / "seed-0" / "failed.json"
    written = failure.stat().st_mtime_ns
    assert "above the budget" in (tmp_path / "cmp" / "comparison.md").read_text()

    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    before = results(tmp_path / "cmp")
    assert main(["compare", "--config", str(tmp_path / "run.yaml")]) == 1
    assert "2 failed" in capsys.readouterr().out
    assert failure.stat().st_mtime_ns > written
    assert results(tmp_path / "cmp") == before


def test_a_failing_first_seed_leaves_the_others_without_a_learning_rate(comparison):
    settings = comparison(methods={"low_rank_adapter": {"rank": 64}}, tasks=comparison()["tasks"][1:])
    found = compare(**settings, learning_rate_grid="1e-3,1e-2")
    assert "Seed 0, which chooses the learning rate, failed" in found.rows[-1].errors[1]


def test_a_method_is_compared_with_other_settings_of_itself(comparison, tmp_path):
    methods = {"bitfit": {}, "norms": {"method": "lnfit"}, "drawn": {"method": "random", "space": "lora", "trials": 1}}
    found = compare(**comparison(methods=methods, seeds=1))
    rows = {row.method: row for row in found.rows}
    assert rows.keys() == {"bitfit", "norms", "drawn", "lora"}
    assert rows["drawn"].space == "lora" and rows["norms"].space is None
    folder = tmp_path / "cmp" / "triple"
    results = {name: json.loads((folder / name / "seed-0" / "results.json").read_text()) for name in rows}
    assert set(results["norms"]["modules_by_kind"]) == {"lnfit"}
    assert set(results["drawn"]["modules_by_kind"]) == {"lora"}
    # The file that it leaves goes on with the same rows.
    again = make_compare_config(yaml.safe_load((tmp_path / "cmp" / "comparison.yaml").read_text()))
    assert again.methods.settings_of("drawn") == {"trials": 1} and again.methods.method_of("drawn") == "random"


def test_a_comparison_from_before_heads_were_probed_goes_on_with_a_fresh_one(comparison, tmp_path):
    (tmp_path / "cmp").mkdir()
    config = make_compare_config(comparison())
    earlier = yaml.safe_load(config.to_yaml())
    for name in ("head_start", "lora_b_rate", "average_last"):
        del earlier["training"][name]
    (tmp_path / "cmp" / "comparison.yaml").write_text(yaml.safe_dump(earlier))
    with pytest.raises(RunFolderError, match=r"\(training.head_start: was 'fresh', is 'probe'\)"):
        check_same_comparison(config)
    check_same_comparison(make_compare_config(comparison(training=earlier["training"] | {"head_start": "fresh"})))


def test_full_and_head_need_no_budget(comparison):
    found = compare(**comparison(methods="full,head", tasks=comparison()["tasks"][1:], seeds=1))
    rows = {row.method: row for row in found.rows}
    assert rows["full"].outside_budget and rows["full"].parameters == found.facts.backbone_parameters
    assert rows["head"].parameters == 0 and rows["lora"].scores["triple"].std is None
    assert rows["full"].against.p is None


@pytest.fixture
def url(bucket) -> str:
    return f"{bucket}/cmp"


def test_another_machine_goes_on_from_the_copy_at_a_url(comparison, tmp_path, url, monkeypatch):
    settings = comparison(methods="lora", tasks=comparison()["tasks"][1:], mirror=url)
    compare(**settings)
    fsspec.filesystem("memory").rm("/bucket/cmp/triple/lora/seed-1", recursive=True)
    trained = []
    run_train = runs.run_train
    monkeypatch.setattr(runs, "run_train", lambda config: trained.append(config.seed) or run_train(config))
    compare(**settings | {"output": str(tmp_path / "elsewhere")})
    assert trained == [1], "the other seed's results came from the copy"
    assert without_times(tmp_path / "elsewhere") == without_times(tmp_path / "cmp")
    sent = set(make_compare_config(settings).copy.names())
    here = {path.relative_to(tmp_path / "cmp").as_posix() for path in (tmp_path / "cmp").rglob("*") if path.is_file()}
    own = {name for name in here - sent if not name.endswith((".lock", ".mirror"))}
    assert own == {"triple/lora/uniform.json"}, "made anew"
    assert not sent - here


def test_a_url_that_holds_something_else_is_refused(comparison, url):
    fsspec.filesystem("memory").pipe("/bucket/cmp/thesis.tex", b"")
    with pytest.raises(RunFolderError, match=r"holds 1 files, such as 'thesis.tex', and neither a run"):
        compare(**comparison(mirror=url))


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.slow
def test_two_workers_find_what_one_finds(comparison, tmp_path):
    tasks = comparison()["tasks"][1:]
    settings = comparison(methods={"bipeft": BIPEFT, "low_rank_adapter": {"rank": 64}}, tasks=tasks, seeds=1)
    for workers in (1, 2):
        compare(**settings | {"workers": workers, "output": str(tmp_path / str(workers))})
    one, two = (without_times(tmp_path / name) for name in "12")
    assert one == two


def test_without_ray_several_workers_say_what_to_install(comparison, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(PeftSearchError, match=r"pip install 'peftsearch\[ray\]'"):
        compare(**comparison(workers=2))


def test_other_settings_in_the_same_folder_are_refused(comparison, tmp_path):
    settings = comparison(methods="head", tasks=comparison()["tasks"][1:], seeds=1)
    compare(**settings)
    with pytest.raises(RunFolderError, match="seed: was 0, is 1.*may be added.*--overwrite"):
        compare(**settings | {"seed": 1})
    with pytest.raises(RunFolderError, match="methods.head: was {}, is None.*--overwrite"):
        compare(**settings | {"methods": "bitfit"})
    assert len(compare(**settings | {"methods": "lora", "overwrite": True}).rows) == 1
    assert not (tmp_path / "cmp" / "triple" / "head").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="holds no comparison"):
        compare(**settings | {"output": str(tmp_path / "mine"), "overwrite": True})


def test_methods_tasks_and_seeds_are_added_to_what_is_there(comparison, tmp_path):
    tasks = comparison()["tasks"]
    compare(**comparison(methods="head", tasks=tasks[1:], seeds=1))
    before = results(tmp_path / "cmp")
    found = compare(**comparison(methods="bitfit,head", tasks=tasks, seeds=2))
    after = results(tmp_path / "cmp")
    assert len(before) == 2 and len(after) == 2 * 3 * 2
    assert all(after[path] == before[path] for path in before)
    assert {row.method for row in found.rows} == {"bitfit", "head", "lora"}
    with pytest.raises(RunFolderError, match="seeds: was 2, is 1"):
        compare(**comparison(methods="bitfit,head", tasks=tasks, seeds=1))
    with pytest.raises(RunFolderError, match="tasks: was"):
        compare(**comparison(methods="bitfit,head", tasks=tasks[:1], seeds=2))


def test_a_comparison_file_gives_the_settings_back(comparison):
    config = make_compare_config(comparison())
    again = make_compare_config(
        yaml.safe_load(config.to_yaml()) | {"output": config.output, "threads": 1, "verify": False}
    )
    assert again == config


def test_flags_choose_among_the_methods_of_the_file(comparison, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(comparison()))
    code = main(["compare", "--config", str(tmp_path / "run.yaml"), "--methods", "bitfit,bipeft", "--dry_run"])
    shown = capsys.readouterr().out
    assert code == 0 and "bitfit, bipeft, lora" in shown and "runs      12" in shown
    assert not (tmp_path / "cmp").exists()


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"model": ""}, "model is ''"),
        ({"methods": "bipfet"}, "Unknown method 'bipfet'. Did you mean 'bipeft'"),
        ({"methods": {"bipeft": {"windwo": 1}}}, "Did you mean 'method.window'"),
        ({"methods": " , "}, "methods is .*--methods"),
        ({"methods": "lora,lora"}, "methods is 'lora', but must be given once"),
        ({"methods": {"../x": {"method": "bitfit"}}}, "methods is '../x', but must be a name of letters"),
        ({"methods": {"lora": {"rank": 3}}}, "methods.lora is .*without settings"),
        ({"tasks": ""}, "tasks is ''.*--tasks"),
        ({"tasks": "glue/rtee"}, "Unknown task 'glue/rtee'. Did you mean 'glue/rte'"),
        ({"tasks": "nowhere.yaml"}, "Cannot read the settings file 'nowhere.yaml'"),
        ({"tasks": [{"name": "a", "daat": "x.csv"}]}, "Unknown key 'daat'.*Did you mean 'data'"),
        ({"tasks": [{"name": "a", "text": "x"}]}, "one of 'data'.*and 'task'"),
        ({"tasks": [{"name": "a", "data": "missing.csv"}]}, "There is no file 'missing.csv'"),
        ({"tasks": "glue/rte,glue/rte"}, "tasks is 'glue/rte', but must be tasks of different names"),
        ({"budget": ""}, "exactly one. Give --budget"),
        ({"budget": "1%,2%"}, "budget is '1%,2%'"),
        ({"budget": "many"}, "Cannot read the budget 'many'"),
        ({"seeds": 0}, "seeds is 0, but must be 1 or more"),
        ({"workers": 0}, "workers is 0, but must be 1 or more"),
        ({"learning_rate_grid": "fast"}, "learning_rate_grid is 'fast'"),
        ({"space": "s9"}, "Unknown search space 's9'|s9"),
        ({"trianing": {}}, "Did you mean 'training'"),
        ({"training": {"learning_rate": -1}}, "training.learning_rate is -1"),
    ],
)
def test_bad_input_is_named_before_anything_starts(changes, message, comparison, tmp_path):
    with pytest.raises(PeftSearchError, match=message):
        compare(**comparison(**changes))
    assert not (tmp_path / "cmp").exists()
