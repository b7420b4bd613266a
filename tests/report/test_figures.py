import json
import re

from peftsearch.report.collect import collect
from peftsearch.report.figures import draw_search, draw_training


def test_the_search_is_drawn_by_the_keys_that_were_logged(run):
    drawings = {drawing.name: drawing for drawing in draw_search(collect(run))}
    assert list(drawings) == ["search-size", "search-modules", "search-stability", "search-losses"]
    assert drawings["search-modules"].description == "live modules from 9 to 4 over 6 steps."
    assert drawings["search-stability"].description == "stability from 0.9 to 0.9 over 4 steps."


def test_the_size_has_a_line_for_each_budget(run):
    svg = draw_search(collect(run))[0].svg
    assert re.findall(r"budget [\d,]+", svg) == ["budget 1,000", "budget 2,000"]


def test_each_trigger_has_one_mark(run):
    svg = draw_search(collect(run))[0].svg
    line = svg[: svg.index("<!-- trigger -->")] if "<!-- trigger -->" in svg else svg
    # The log counts triggers 0, 0, 0, 1, 2, 3: three of them, each a use of the marker's path.
    groups = re.findall(r'<g clip-path[^>]*>|<g id="line2d_\d+">.*?</g>\s*</g>', line, flags=re.DOTALL)
    assert groups
    without = json.dumps([{**row, "triggers": 0} for row in collect(run).search_log])
    (run / "search" / "log.jsonl").write_text("\n".join(map(json.dumps, json.loads(without))))
    plain = draw_search(collect(run))[0].svg
    # One more use of the marker stands in the legend.
    assert svg.count("<use ") - plain.count("<use ") == 3 + 1


def test_a_number_that_is_not_finite_does_not_stop_the_report(run):
    rows = [{"step": i, "loss_weights": float("nan"), "stability": "high"} for i in range(3)]
    (run / "search" / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [drawing.name for drawing in draw_search(collect(run))] == ["search-losses"]


def test_without_a_search_there_is_no_curve(run):
    (run / "search" / "log.jsonl").unlink()
    assert draw_search(collect(run)) == []


def test_a_row_of_the_trainer_itself_is_no_search_step(unfinished):
    with (unfinished / "search" / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": 6, "train_runtime": 3.0}) + "\n")
    assert draw_search(collect(unfinished))[1].description.endswith("over 6 steps.")


def test_training_and_baseline_share_one_picture_per_number(run):
    drawings = draw_training(collect(run))
    assert [drawing.title for drawing in drawings] == ["Training loss", "Validation accuracy"]
    assert drawings[0].description == "Training loss: seed 0 ends at 2; uniform LoRA, seed 0 ends at 3."


def test_an_unfinished_training_shows_each_validation_score(run):
    (run / "results.json").unlink()
    assert [drawing.name for drawing in draw_training(collect(run))] == [
        "training-loss",
        "training-validation-accuracy",
    ]
