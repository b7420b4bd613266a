from report.conftest import results, score

from peftsearch.report.verdict import verdict


def against(own: dict, other: dict) -> str:
    return verdict(results(test=own, baseline={"parameters": 900, "test": other}))


def test_what_was_found_comes_first():
    assert verdict(results()).startswith("Found 2 modules, 990 of 1,000 parameters. Test accuracy 91.00; uniform LoRA")


def test_a_manual_configuration_is_trained_and_not_found():
    text = verdict(results(search_cost=None, baseline=None, budget=None, modules=1))
    assert text == "Trained 1 module, 990 parameters. Test accuracy 91.00."


def test_a_run_without_modules_says_so():
    text = verdict(results(search_cost=None, baseline=None, budget=None, modules=0, parameters=0))
    assert text.startswith("Trained no module: 0 parameters are trained besides the task head.")


def test_one_seed_is_not_called_a_gain_beyond_noise():
    text = verdict(results())
    assert "gained 1.00 points" in text and "cannot tell a difference from noise" in text


def test_the_gain_is_compared_with_its_standard_error():
    assert "is more than twice its standard error" in against(score(91.0, 0.1), score(90.0, 0.1))
    # sqrt(2 * 3^2 / 3) = 2.45
    assert "within twice its standard error over seeds (2.45)" in against(score(91.0, 3.0), score(90.0, 3.0))


def test_a_loss_and_a_tie_are_said_plainly():
    assert "No gain over uniform LoRA: the search lost 1.00 points" in against(score(89.0), score(90.0))
    assert "No gain over uniform LoRA: the scores are equal" in against(score(90.001), score(90.0))
