"""The better of search and hand recipes is handed over, and everything beside the adapter says so."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from peftsearch import evaluate, export, load, search
from peftsearch.errors import ConfigurationError
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.report.run.model_card import make_run_card
from peftsearch.report.run.record import collect
from peftsearch.report.run.usage import usage_of
from peftsearch.run import train
from peftsearch.run.candidates import Candidate, hand_over
from peftsearch.run.proof import Proof
from peftsearch.run.recipe import FreshModules
from peftsearch.run.train import TrainedConfiguration
from peftsearch.space import Configuration
from peftsearch.testing.small_runs import small_run
from peftsearch.testing.stopping import stopped_often
from peftsearch.training.fine_tuning import TrainingResult

BY_F1 = SimpleNamespace(task=SimpleNamespace(reported_metric="accuracy", selection_metric="macro_f1"))
OFTEN = {"save_steps": 2, "num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 3e-3}


def candidate(name: str, *scores: float, loss: float | None = None) -> Candidate:
    """A candidate with these validation scores, one a seed, in macro F1; its accuracy says the opposite."""
    rows = [{"accuracy": 100 - score, "macro_f1": score} for score in scores]
    runs = [TrainingResult(i, 1e-3, row, 1.0, 1, validation_loss=loss) for i, row in enumerate(rows)]
    trained = TrainedConfiguration(Configuration(), runs, [Proof(7, row, row) for row in rows])
    return Candidate(name, name, FreshModules(name, configuration=Configuration()), trained)


@pytest.mark.parametrize(
    "ours,theirs,keep,expected",
    [
        ((80, 60), (71, 71), "better", "lnfit_lora"),
        ((80, 64), (71, 71), "better", "searched"),
        ((80, 62), (71, 71), "better", "searched"),
        ((80, 60), (71, 71), "searched", "searched"),
    ],
    ids=["the mean over seeds decides", "the searched one is better", "a tie keeps it", "it is asked for"],
)
def test_the_better_on_validation_is_handed_over(ours, theirs, keep, expected):
    by_hand = [candidate("uniform LoRA", 10, 99), candidate("lnfit_lora", *theirs)]
    chosen, told = hand_over(candidate("searched", *ours), by_hand, keep=keep, experiment=BY_F1)
    assert told is not None and chosen.name == told.name == told.folder == expected
    assert f"macro F1 {sum(ours) / 2:.2f}" in told.reason and "macro F1 71.00" in told.reason
    assert ("--keep searched" in told.reason) == (expected == "lnfit_lora" or keep == "searched")
    assert told.parameters == 7 and told.validation == chosen.trained.validation(BY_F1)


@pytest.mark.parametrize("metric,expected", [("loss", "lnfit_lora"), ("macro_f1", "searched")])
def test_the_loss_decides_unless_another_metric_is_asked_for(metric, expected):
    by_hand = [candidate("uniform LoRA", 90, loss=0.5), candidate("lnfit_lora", 70, loss=0.3)]
    chosen, told = hand_over(
        candidate("searched", 95, loss=0.4), by_hand, keep="better", experiment=BY_F1, metric=metric
    )
    assert told is not None and chosen.name == told.name == expected
    if metric == "loss":
        assert "loss 0.3000 and macro F1 70.00 on validation, against loss 0.4000 and macro F1 95.00" in told.reason


def test_a_loss_that_one_of_them_lacks_does_not_decide():
    by_hand = [candidate("uniform LoRA", 70, loss=0.5)]
    chosen, told = hand_over(candidate("searched", 60), by_hand, keep="better", experiment=BY_F1)
    assert chosen.name == "uniform LoRA" and told is not None and "loss" not in told.reason


def test_without_baselines_there_is_nothing_to_choose():
    searched = candidate("searched", 50)
    assert hand_over(searched, [], keep="better", experiment=BY_F1) == (searched, None)


@pytest.fixture(scope="module")
def handed(reviews, tiny_folder, tmp_path_factory):
    """A search whose validation scores are made worse than those of the hand recipe beside it."""
    prove = train.prove

    def worse(saved, folder, *args, **options):
        proof = prove(saved, folder, *args, **options)
        is_searched = folder.parent.name == "training"
        return replace(proof, validation={k: v - 100 * is_searched for k, v in proof.validation.items()})

    places = {"model": tiny_folder("bert"), "reviews": reviews, "output": tmp_path_factory.mktemp("keep") / "run"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "prove", worse)
        given = {"baselines": "lnfit_lora", "budget": "500", "seeds": 2, "metric": "accuracy", "verify": True}
        return search(**small_run(**places, **given))


def test_the_adapter_is_that_of_the_recipe_and_the_rest_is_the_searchs(handed):
    found, results = handed.metrics, collect(handed.folder).finished
    told = found["handed_over"]
    assert told["name"] == "lnfit_lora" and told["folder"] == "baselines/lnfit_lora"
    # Five norms of width 32, and rank 2 at both values, 64 parameters a rank.
    assert told["parameters"] == 5 * 32 + 2 * 2 * 64 == found["verified"]["parameters"]
    assert told["modules_by_kind"] == {"lnfit": 5, "lora": 2} and told["modules"] == 7
    seeds = [(handed.folder / told["folder"] / f"seed-{i}" / "adapter") for i in range(2)]
    tensors = [(path / "adapter_model.safetensors").read_bytes() for path in (*seeds, handed.folder / "adapter")]
    assert tensors[2] in tensors[:2]
    assert found["baseline"] is None and [one["name"] for one in found["baselines"]] == ["lnfit_lora"]
    assert found["baselines"][0]["test"] == told["test"]
    assert handed.configuration == Configuration.load(handed.folder / "configuration.json")
    assert found["parameters"] != told["parameters"] and found["modules"] == len(handed.configuration)
    assert results.of_adapter.parameters == told["parameters"] and results.space == "s2"


def test_what_is_loaded_scored_and_exported_is_the_recipe(handed, tmp_path):
    told = handed.metrics["handed_over"]
    model = load(handed.folder).eval()
    assert count_peft_parameters(model) == told["parameters"]
    assert evaluate(handed.folder)["accuracy"] in [pytest.approx(value) for value in told["test"]["per_seed"]]
    ids = torch.tensor([[7, 8, 9]])
    base = AutoModelForSequenceClassification.from_pretrained(handed.metrics["model"])
    plain = PeftModel.from_pretrained(base, str(handed.folder / "lora")).eval()
    torch.testing.assert_close(plain(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5)
    merged = export(handed.folder, format="merged", output=tmp_path / "merged")
    whole = AutoModelForSequenceClassification.from_pretrained(str(merged.folder)).eval()
    torch.testing.assert_close(whole(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5)


def test_card_and_page_say_which_and_why(handed):
    record, told = collect(handed.folder), handed.metrics["handed_over"]
    card = (handed.folder / "adapter" / "README.md").read_text()
    assert card == str(make_run_card(record, usage=usage_of(record, handed.folder / "adapter")))
    assert "7 PEFT modules with 416 trained parameters" in card and "lnfit_lora on" in card
    assert "were found by peftsearch" not in card and "What was trained" in card
    assert f"| searched (bipeft), {handed.metrics['parameters']:,} parameters |" in card
    assert "--keep searched hands over" in card
    page = (handed.folder / "report.html").read_text()
    assert "lnfit_lora" in page and told["reason"] in page.replace("&#39;", "'")
    assert "baselines/lnfit_lora/seed-1" in record.training_logs
    assert record.handed_over.num_modules_by_kind() == told["modules_by_kind"]


def test_a_search_with_hand_recipes_that_is_stopped_often_ends_the_same(settings, monkeypatch, tmp_path):
    def run(name: str, resume: bool = False):
        given = settings(training=OFTEN, output=str(tmp_path / name), baselines="uniform_lora,bitfit")
        return search(**given | {"resume": resume})

    first = run("first")
    second, num_stops = stopped_often(lambda resume: run("second", resume), monkeypatch, every=5)
    assert num_stops >= 2
    told = first.metrics["handed_over"]
    assert told == second.metrics["handed_over"]
    assert [one["name"] for one in first.metrics["baselines"]] == ["bitfit"]
    assert first.metrics["baseline"]["name"] == "uniform LoRA"
    files = sorted(path.relative_to(first.folder) for path in first.folder.rglob("*.safetensors"))
    assert any("baselines/bitfit" in path.as_posix() for path in files)
    for path in files:
        assert (first.folder / path).read_bytes() == (second.folder / path).read_bytes(), path


def test_a_recipe_that_the_budget_does_not_hold_is_left_out_with_a_warning(settings, caplog):
    result = search(**settings(budget="40", baselines="uniform_lora,lnfit", seeds=1))
    assert result.metrics["baseline"] is None and [one["name"] for one in result.metrics["baselines"]] == ["lnfit"]
    assert "The baseline uniform_lora is left out. The smallest lora module has 64 parameters" in caplog.text
    assert any("does not hold lnfit in every layer" in note for note in result.metrics["notes"])


def test_a_recipe_that_the_model_has_no_place_for_is_refused_before_the_search(settings, tmp_path):
    with pytest.raises(ConfigurationError, match="Kind 'prefix' fits no site"):
        search(**settings("deberta-v2", baselines="prefix"))
    assert not (tmp_path / "run").exists()


def test_of_errors_the_lowest_is_handed_over():
    by_rmse = SimpleNamespace(task=SimpleNamespace(reported_metric="rmse", selection_metric="rmse"))

    def scored(name, value):
        one = candidate(name, value)
        row = {"rmse": value}
        return replace(one, trained=replace(one.trained, proofs=[Proof(7, row, row)]))

    by_hand = [scored("lnfit_lora", 0.31), scored("uniform LoRA", 0.52)]
    chosen, told = hand_over(scored("searched", 0.4), by_hand, keep="better", experiment=by_rmse)
    assert chosen.name == "lnfit_lora" and told is not None
    assert "RMSE 0.3100 on validation, against RMSE 0.4000 of the searched configuration" in told.reason
    assert hand_over(scored("searched", 0.3), by_hand, keep="better", experiment=by_rmse)[0].name == "searched"
