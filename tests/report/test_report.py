"""The report of run folders written here by hand."""

import json
import re
import xml.etree.ElementTree as ElementTree

import markupsafe
import pytest
from finished_run import by_hand, handed_over, score, uniform, write_results
from run_folder_samples import EVIL, sample_results, write_finished, write_lines, write_unfinished

from peftsearch.errors import RunFolderError
from peftsearch.modules.peft_module import KINDS
from peftsearch.report.charts import COLOURS
from peftsearch.report.kind_style import kind_colour, style_index
from peftsearch.report.result_parts import LadderChoice, LadderStep
from peftsearch.report.results import Results
from peftsearch.report.run.html import write_report
from peftsearch.report.run.model_map import make_map
from peftsearch.report.run.page import make_run_page
from peftsearch.report.run.record import collect
from peftsearch.report.run.score_charts import score_chart, training_charts
from peftsearch.report.run.search_charts import budgets_of
from peftsearch.report.run.summary import print_summary, summary_rows
from peftsearch.report.verdict import verdict


@pytest.fixture
def run(tmp_path):
    return write_finished(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run with its report, which tests only read."""
    run = write_finished(tmp_path_factory.mktemp("run"))
    write_report(run)
    return run


@pytest.fixture(scope="module")
def text(written) -> str:
    return (written / "report.html").read_text(encoding="utf-8")


def words_of(run) -> str:
    """Everything on the page of a run, which is not drawn."""
    return repr(make_run_page(collect(run)))


def test_the_report_shows_the_numbers_and_loads_nothing(text):
    assert "1,000 allowed; 0.040% of the backbone" in text
    for part in ("uniform LoRA", "random", "Search cost is", "Not counted: the task head (66 parameters)", "1,900"):
        assert part in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text) and "@import" not in text


def test_the_verdict_stands_at_the_top(text):
    assert verdict(sample_results()) in text[: text.index("<main")]


def test_text_from_data_and_names_is_escaped(text):
    assert "<script" not in text and str(markupsafe.escape(EVIL)) in text


def test_the_map_has_every_module_with_kind_rank_and_exact_size(written, text):
    marks = {(site.name, mark.kind): mark for site, mark in make_map(collect(written)).marks}
    # LoRA of rank 4 on a map of 32 to 32 has 4 * (32 + 32) parameters, a bias 32.
    assert {key: (mark.rank, mark.parameters) for key, mark in marks.items()} == {
        ("encoder.0.query", "lora"): (4, 256),
        ("encoder.1.ffn_norm", "bitfit"): (None, 32),
    }
    assert "lora of rank 4, 256 parameters" in text


def test_the_map_shows_what_the_space_held_and_the_search_left_out(written):
    cells = [cell for row in make_map(collect(written)).stacks[0].rows for cell in row.cells]
    left_out = {(cell.site.name, m.kind) for cell in cells for m in cell.marks if not m.is_chosen}
    assert ("encoder.1.query", "lora") in left_out and ("encoder.final_norm", "lnfit") in left_out


def test_every_figure_is_there_as_svg_and_png(written):
    names = {path.stem for path in (written / "figures").glob("*.svg")}
    assert names == {path.stem for path in (written / "figures").glob("*.png")}
    assert {
        "map", "kinds", "layers-encoder", "scores", "search-size", "search-modules", "search-importance",
        "search-loss", "search-stability", "trials", "trials-best", "training-loss", "training-validation",
        "errors-matrix", "errors-numbers",
    } == names  # fmt: skip
    svg = ElementTree.parse(written / "figures" / "map.svg")
    texts = {"".join(element.itertext()).strip() for element in svg.iter() if element.tag.endswith("text")}
    assert {"Lo 4", "Bi", "encoder", "layer 1"} <= texts


def test_every_figure_has_its_numbers_as_a_table(text):
    figures = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    assert len(figures) == 14 and all("<table>" in figure and "<td>" in figure for figure in figures)


def test_ids_are_unique_in_the_page(text):
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_equal_runs_give_equal_bytes(written, run):
    write_report(run)
    pictures = {f"figures/{path.name}" for path in (written / "figures").iterdir()}
    assert all((run / name).read_bytes() == (written / name).read_bytes() for name in {"report.html"} | pictures)


def test_several_seeds_get_deviations_and_an_explained_interval(run):
    other = score(90.0, 0.5)
    write_results(run, sample_results(test=score(91.0, 0.5), baseline=uniform(900, validation=other, test=other)))
    text = words_of(run)
    assert "91.00 ± 0.50" in text and "test, seed 2" in text and "95% confidence interval" in text


def test_a_run_without_a_search_has_no_baseline_and_no_search_part(run):
    nothing = {"space": None, "baseline": None, "random_baseline": None, "search_cost": None, "ladder": ()}
    write_results(run, sample_results(**nothing, method="lora"))
    for path in (run / "search").iterdir():
        path.unlink()
    text = words_of(run)
    assert "Nothing was searched" in text and "The search as it ran" not in text


SMALLEST = LadderChoice(1000, 2000, 1.5)


def trained_ladder(choice: LadderChoice | None = SMALLEST) -> Results:
    """Two steps with uniform LoRA beside each."""
    found = sample_results()
    low = LadderStep(1000, 400, 2, "training", 0.001, score(90.0), score(91.0), found.baseline)
    other = uniform(1800, validation=score(88.0), test=score(87.0))
    high = LadderStep(2000, 1900, 3, "ladder/2000", 0.002, score(91.0), score(92.5), other)
    return sample_results(ladder=(low, high), ladder_choice=choice)


def test_a_ladder_is_drawn_beside_uniform_lora_s(run):
    found = score_chart(trained_ladder())
    assert found is not None
    assert [row[:2] for row in found.rows] == [
        ("searched (bipeft)", "400"),
        ("uniform LoRA", "900"),
        ("random", "950"),
        ("searched (bipeft), budget 2,000", "1,900"),
        ("uniform LoRA, budget 2,000", "1,800"),
    ]
    (axis,) = found.figure.axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert curves["searched (bipeft)"] == [[400, 91.0], [1900, 92.5]]
    assert curves["uniform LoRA"] == [[900, 90.0], [1800, 87.0]]
    assert curves["random"] == [] and curves["within one standard error"] == [[400, 91.0]]
    assert "The ring" in found.note and [
        line.get_xdata()[0] for line in axis.lines if "budget" in line.get_label()
    ] == [1000]


def test_the_chosen_step_is_named_on_the_page_and_in_the_terminal(run, capsys):
    said = "within one standard error (1.50 points of validation accuracy) of the best, that of 1,900 parameters, has "
    write_results(run, trained_ladder())
    print_summary(run)
    terminal = " ".join(capsys.readouterr().out.replace("│", "").split())
    for text in (words_of(run), terminal):
        assert f"The smallest step of the ladder {said}400 parameters and is in training/." in text
    assert "92.50 with 1,900 parameters; uniform LoRA 87.00 with 1,800" in terminal
    assert "'2,000', '1,900', '3', '91.00', '92.50', '+5.50'" in words_of(run)


@pytest.mark.parametrize(
    "choice,said",
    [
        (
            LadderChoice(2000, 2000, 0.5),
            "of the best on validation, which has 1,900 parameters and is in ladder/2000/.",
        ),
        (None, "No step of the ladder is chosen: accuracy of one seed has no standard error"),
    ],
)
def test_where_the_best_step_stays_alone_the_page_says_so(run, choice, said):
    write_results(run, trained_ladder(choice))
    assert said in words_of(run)


def test_a_ladder_of_an_older_version_was_trained_at_its_smallest_budget_alone(written):
    assert "'2,000', '1,900', '3', 'not trained'" in words_of(written) and "The ring" not in words_of(written)


def test_an_unfinished_run_shows_what_there_is(tmp_path):
    text = write_report(write_unfinished(tmp_path)).read_text(encoding="utf-8")
    for part in ("Unfinished", "30 steps and 0 trials so far", "lora of rank 4", "Training loss", "Expected size"):
        assert part in text
    assert "Did it pay off?" not in text


def test_an_unfinished_run_names_every_finished_training(tmp_path):
    run = write_unfinished(tmp_path)
    names = ["training/seed-0", "ladder/2000/seed-9", "ladder/2000/seed-10", "ladder/2000/baseline/seed-9"]
    for name in names:
        (run / name).mkdir(parents=True, exist_ok=True)
        (run / name / "trained.json").write_text('{"learning_rate": 0.003, "validation": {"accuracy": 77.5}}')
    found = collect(run)
    assert list(found.trained) == names and list(found.training_logs) == names[:1]
    assert "('ladder/2000/baseline/seed-9', '0.003', 'accuracy 77.50')" in words_of(run)


def test_an_unfinished_run_is_charted_as_the_finished_one_will_be(tmp_path):
    record = collect(write_unfinished(tmp_path))
    assert budgets_of(record) == [1234]
    curves = {chart.title: chart.rows for chart in training_charts(record)}
    assert curves["Training loss"][0][0] == "searched, seed 0"
    (tmp_path / "search" / "log.jsonl").unlink()
    curves = {chart.title: chart.rows for chart in training_charts(collect(tmp_path))}
    assert curves["Training loss"][0][0] == "trained, seed 0"


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    (tmp_path / "config.yaml").write_text("model: demo\nseeds: 1\nmethod: {name: bipeft}\n")
    assert "0 steps and 0 trials so far" in words_of(tmp_path)


def test_the_terminal_shows_the_same_rows_and_ends_with_the_verdict(run, capsys):
    print_summary(run)
    out = capsys.readouterr().out
    assert "bipeft" in out and dict(summary_rows(collect(run).finished))["test accuracy"] == "91.00"
    assert " ".join(out.split()).endswith(verdict(sample_results()))


def test_hand_recipes_are_rows_and_the_one_in_the_folder_is_named(tmp_path, capsys):
    recipe = by_hand("lnfit_lora", validation=score(92.0), test=score(93.0))
    run = write_finished(tmp_path, baselines=(recipe,), handed_over=handed_over(recipe))
    write_lines(run / "baselines" / "lnfit_lora" / "seed-0" / "log.jsonl", [{"step": 1, "loss": 1.25}])
    found = collect(run)
    rows = dict(summary_rows(found.finished))
    assert rows["lnfit_lora, test"] == "93.00 with 950 parameters (validation 92.00); learning rate 0.002"
    assert rows["handed over"] == "lnfit_lora: 950 parameters" and rows["test accuracy"] == "91.00"
    words = words_of(run)
    assert "('lnfit_lora', '950', '7', '0.002', '92.00', '93.00', '93.00')" in words
    assert "('handed over', 'lnfit_lora', '950 parameters')" in words and "72 against 70" in words
    curves = {chart.title: chart.rows for chart in training_charts(found)}
    assert curves["Training loss"][-1][0] == "lnfit_lora, seed 0"
    print_summary(run)
    assert "72 against 70" in " ".join(capsys.readouterr().out.split())


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        write_report(tmp_path)


def test_a_damaged_file_is_named_as_such(run):
    (run / "results.json").write_text('{"method": ')
    with pytest.raises(RunFolderError, match="cannot be read"):
        write_report(run)


def test_results_that_lack_something_are_named_with_their_file(run):
    document = sample_results().to_dict()
    for broken, words in (
        ({"parameters": "many"}, "'parameters' is 'many', but must be int"),
        ({"test": document["test"] | {"per_seed": [1.0, None]}}, r"'test.per_seed\[1\]' is None, but must be float"),
        ({"saved": {"model": "x"}}, "it has no 'saved.num_labels'"),
    ):
        (run / "results.json").write_text(json.dumps(document | broken))
        with pytest.raises(RunFolderError, match=f"results.json' does not hold the results of a run: {words}"):
            write_report(run)


def test_what_later_versions_added_may_be_missing(run):
    document = sample_results().to_dict()
    for key in (
        "pareto",
        "verified",
        "random_baseline",
        "verdict",
        "base_model",
        "labels",
        "baselines",
        "handed_over",
    ):
        del document[key]
    (run / "results.json").write_text(json.dumps(document | {"of_the_future": 1}))
    assert collect(run).finished == sample_results(base_model=None, labels=(), random_baseline=None)


def test_results_are_read_back_as_they_were_written():
    assert Results.from_dict(json.loads(json.dumps(sample_results().to_dict()))) == sample_results()


def test_a_kind_that_is_added_changes_no_other_kinds_colour():
    assert [style_index(kind) for kind in sorted(KINDS)] == list(range(len(KINDS)))
    assert 0 <= style_index("aaa") < len(COLOURS) and kind_colour("aaa") == kind_colour("aaa")


def test_names_with_markup_are_in_the_terminal_as_they_are(run, capsys):
    print_summary(run)
    assert EVIL.replace(" ", "") in "".join(capsys.readouterr().out.replace("│", "").split())
