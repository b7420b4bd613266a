"""Pursuit inside of users' own Trainers: their models, their tasks, their loss; and as on the command line."""

import json
import logging

import pytest
import torch
from peft import PeftModel
from torch import nn
from torch.utils.data import IterableDataset
from trainer_tasks import BUDGET, CLASSES, IDS, ROWS, TASKS, TOKENS, Rows, arguments, of_task
from transformers import Trainer

from peftsearch import Configuration, SearchMixin, SearchTrainer
from peftsearch.api.trainer_loss import TrainerLoss
from peftsearch.errors import DataError, TrainingError
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.modules.costs import num_parameters
from peftsearch.run.experiment import Experiment
from peftsearch.run.growth_search import search_by_growth
from peftsearch.run.make_config import make_config
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import start_folder
from peftsearch.searches.growing import read_weights
from peftsearch.training.mean_gradients import MeanGradients
from peftsearch.training.task_loss import TaskLoss


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_searched_within_the_budget_trained_saved_and_loaded(task, tmp_path):
    trainer = of_task(task, tmp_path)
    model = trainer.model
    before = {name: (id(p), p.detach().clone(), p.requires_grad) for name, p in model.named_parameters()}
    found = trainer.search()
    assert trainer.model is model and not model.training
    for name, parameter in model.named_parameters():
        identity, value, requires_grad = before.pop(name)
        assert id(parameter) == identity and parameter.requires_grad == requires_grad
        assert torch.equal(parameter, value), name
    assert not before
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    trainer.train()
    trainer.save_model(str(tmp_path / "adapter"))
    provenance = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["provenance"]
    assert (provenance["method"], provenance["budget"]) == ("pursuit", BUDGET)
    base = TASKS[task][0]()
    base.load_state_dict(start)
    sites = {site.name: site for site in find_sites(base)}
    cost = sum(num_parameters(choice.kind, sites[choice.site], choice.rank) for choice in found)
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    assert 0 < count_peft_parameters(loaded) == cost <= BUDGET
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(3)])
    with torch.no_grad():
        expected = trainer.model.eval()(**batch).loss
        torch.testing.assert_close(loaded(**batch).loss, expected)
        with loaded.disable_adapter():
            assert not torch.equal(loaded(**batch).loss, expected)


@pytest.mark.parametrize("task", ["bert", "causal language model"])
def test_the_same_seed_finds_the_same_and_starts_without_effect(task, tmp_path):
    trainer, again = (of_task(task, tmp_path / name, args={"learning_rate": 0.0}) for name in "ab")
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(3)])
    expected = trainer.model.eval()(**batch).loss
    trainer.train()
    again.train()
    assert trainer.configuration == again.configuration
    torch.testing.assert_close(trainer.model.eval()(**batch).loss, expected)
    for (name, first), (_, second) in zip(
        trainer.model.named_parameters(), again.model.named_parameters(), strict=True
    ):
        assert torch.equal(first, second), name


class Nearby(Trainer):
    """A loss on what comes out of the first layer."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls = []

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs, output_hidden_states=True)
        self.calls.append((model.training, torch.is_autocast_enabled("cpu"), len(labels)))
        loss = nn.functional.mse_loss(outputs.hidden_states[1][:, 0, 0], labels.float())
        return (loss, outputs) if return_outputs else loss


class SearchNearby(SearchMixin, Nearby):
    pass


@pytest.mark.parametrize("bf16", [False, True])
def test_the_loss_of_the_users_class_decides_in_its_precision_and_without_dropout(bf16, tmp_path):
    trainer = of_task("bert", tmp_path, SearchNearby, args={"bf16": bf16})
    found = trainer.search()
    assert {choice.site.rpartition(".")[0] for choice in found} == {"encoder", "encoder.0"}
    # Four parts of 3 examples, in one batch each, for each of two passes.
    assert trainer.calls == [(False, bf16, 3)] * 8


@pytest.fixture
def experiment(settings):
    """As on the command line, with a head that is fitted to the frozen model."""

    def open_experiment(**changes) -> Experiment:
        return Experiment.open(make_config(settings(**{"method": "pursuit", "budget": str(BUDGET)} | changes)))

    return open_experiment


def of_experiment(experiment: Experiment, folder, **changes) -> SearchTrainer:
    loaded = experiment.start_model(experiment.seed)
    settings = {"budget": BUDGET, "head": loaded.head} | changes
    return SearchTrainer(
        model=loaded.model,
        args=arguments(folder, seed=experiment.seed, remove_unused_columns=False, learning_rate=0.0),
        train_dataset=experiment.splits.train.encoded,
        data_collator=experiment.task_format.collate,
        **settings,
    )


def on_the_command_line(experiment: Experiment, folder) -> Configuration:
    request = SearchRequest("pursuit", make_config({"model": "m", "method": "pursuit"}).method)
    (found,) = search_by_growth(experiment, request, folder).configurations.values()
    return found


@pytest.mark.parametrize(
    "family,space,budget",
    [("bert", "", 300), ("bert", "", 600), ("bert", "lora", 1500), ("llama", "", 400), ("t5", "lora", 500)],
)
def test_what_is_found_is_what_the_command_line_finds(family, space, budget, experiment, tmp_path):
    opened = experiment(family=family, space=space, budget=str(budget))
    expected = on_the_command_line(opened, tmp_path)
    found = of_experiment(opened, tmp_path / "trainer", budget=budget, space=space).search()
    assert found == expected and len(found) > 1
    assert space != "lora" or set(found.num_modules_by_kind()) == {"lora"}


def test_gradients_are_those_of_the_command_line(experiment, tmp_path):
    opened = experiment()
    trainer = of_experiment(opened, tmp_path)
    parameters = list(trainer.model.parameters())
    ours = TaskLoss(trainer.model, opened.task_format, opened.splits.train.encoded, opened.training)
    parts = [[0, 5, 9, 11, 20], [1, 2]]
    expected = MeanGradients(ours, parts)(parameters)
    # In batches of other sizes, padded to other lengths.
    torch.testing.assert_close(MeanGradients(TrainerLoss(trainer), parts)(parameters), expected, atol=1e-6, rtol=1e-4)


def test_training_starts_along_the_directions_that_the_command_line_starts_along(experiment, tmp_path):
    opened = experiment(space="lora")
    found = on_the_command_line(opened, tmp_path)
    base = opened.load_model(opened.seed).model
    model = PeftModel.from_pretrained(base, str(tmp_path / start_folder(BUDGET, smallest=BUDGET)))
    expected = read_weights(model, found, opened.sites).tensors
    trainer, drawn = (of_experiment(opened, tmp_path / name, space="lora") for name in ("a", "b"))
    drawn.configuration = found
    for each in (trainer, drawn):
        each.train()
    assert trainer.configuration == found
    start, other = (read_weights(each.model, found, opened.sites).tensors for each in (trainer, drawn))
    for placement, tensors in expected.items():
        # Directions amplify rounding, which differs between CPUs: 1e-4 was seen.
        torch.testing.assert_close(start[placement], tensors, atol=3e-4, rtol=1e-3)
        assert not torch.allclose(other[placement]["A"], tensors["A"], atol=0.1)


def test_the_mean_over_tokens_does_not_depend_on_the_batches(tmp_path):
    labels = IDS.masked_fill(torch.arange(TOKENS) > torch.arange(ROWS)[:, None] % TOKENS, -100)
    # The second row predicts one token, the sixth five; rows 0, 6, ... none.
    data = Rows(input_ids=IDS, labels=labels)
    trainer, whole = (
        of_task("causal language model", tmp_path, train_dataset=data, args={"per_device_train_batch_size": size})
        for size in (1, ROWS)
    )
    parameters, others = list(trainer.model.parameters()), list(whole.model.parameters())
    (found,) = MeanGradients(TrainerLoss(trainer), [range(ROWS)])(parameters)
    loss = whole.model(input_ids=IDS, labels=labels).loss
    torch.testing.assert_close(found, list(torch.autograd.grad(loss, others)), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("was_on", [False, True])
def test_checkpointed_gradients_find_the_same_and_the_model_is_given_back_as_it_was(was_on, tmp_path):
    expected = of_task("causal language model", tmp_path / "plain").search()
    trainer = of_task("causal language model", tmp_path, args={"activation_checkpointing": True})
    if was_on:
        trainer.model.activation_checkpointing_enable()
    assert trainer.search() == expected
    assert trainer.model.is_activation_checkpointing == was_on and not trainer.model.training
    assert was_on or not trainer.model.get_input_embeddings()._forward_hooks


def test_several_stages_train_in_between_and_that_changes_what_is_added(tmp_path):
    method = {"name": "pursuit", "stages": 2, "between": 5, "sketch": 4}
    rates = {"first": 1e-2, "second": 1e-2, "still": 0.0}
    trainer, again, still = (
        of_task("bert", tmp_path / name, method=method, args={"learning_rate": rate}) for name, rate in rates.items()
    )
    state = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    found = trainer.search()
    assert found == again.search() != still.search()
    rows = (tmp_path / "first/search/stages/0/log.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["step"] == 5
    assert all(torch.equal(tensor, state[name]) for name, tensor in trainer.model.state_dict().items())
    trainer.train()
    assert 0 < count_peft_parameters(trainer.model) <= BUDGET and trainer.state.global_step == 2


def test_a_head_is_told_of(tmp_path, caplog):
    # A command that an earlier test ran in this process lets more through.
    caplog.set_level(logging.WARNING, "peftsearch")
    of_task("causal language model", tmp_path).search()
    assert not caplog.records
    of_task("bert", tmp_path).search()
    assert [r.levelno for r in caplog.records] == [logging.WARNING] and "(classifier) as it is" in caplog.text


def test_one_example_is_refused(tmp_path):
    with pytest.raises(DataError, match="takes 1 of 1"):
        of_task("bert", tmp_path, train_dataset=Rows(input_ids=IDS[:1], labels=CLASSES["labels"][:1])).search()


class Endless(IterableDataset):
    def __iter__(self):
        return iter(Rows(**CLASSES))


def test_data_without_a_length_is_refused(tmp_path):
    with pytest.raises(DataError, match="Endless, but a search needs one with a length"):
        of_task("bert", tmp_path, train_dataset=Endless()).search()


def test_labels_that_do_not_count_find_nothing(tmp_path):
    data = Rows(input_ids=IDS, labels=torch.full_like(IDS, -100))
    with pytest.raises(TrainingError, match="agree on no module"):
        of_task("causal language model", tmp_path, train_dataset=data).search()
