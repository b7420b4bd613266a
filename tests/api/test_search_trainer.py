"""A search inside of users' own Trainers: their loss, their data, their class."""

import json

import pytest
import torch
from peft import PeftModel
from torch.utils.data import Dataset
from trainer_tasks import arguments as arguments_of_steps
from transformers import (
    AutoModelForSequenceClassification,
    CamembertConfig,
    DataCollatorForLanguageModeling,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    XLMRobertaConfig,
)

from peftsearch import Configuration, SearchMixin, SearchTrainer, attach, compare, train
from peftsearch.errors import (
    BudgetError,
    ConfigurationError,
    DataError,
    ModelError,
    PeftSearchError,
    UnknownNameError,
)
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.modules.tuner import PeftSearchModel
from peftsearch.testing.tiny_models import CONFIGS, TINY, tiny_tokenizer

BUDGET = 600
QUICK = {"name": "bipeft", "max_triggers": 3, "warmup": 1, "weight_warmup": 1, "window": 1, "threshold": -1.0}


class Parity(Dataset):
    """Sequences whose first token says the label."""

    def __init__(self, count: int = 32):
        self.ids = torch.randint(6, 200, (count, 6), generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i], "labels": self.ids[i, 0] % 2, "comment": "not for the model"}


class Text(Parity):
    def __getitem__(self, i):
        return {"input_ids": self.ids[i]}


def arguments(folder, **changes) -> TrainingArguments:
    return arguments_of_steps(folder, **{"max_steps": -1, "num_train_epochs": 2} | changes)


def of_bert(folder, trainer=SearchTrainer, **changes):
    torch.manual_seed(0)
    settings = {"budget": BUDGET, "method": QUICK, "train_dataset": Parity(), "eval_dataset": Parity(8)} | changes
    return trainer(model=TINY["bert"](), args=arguments(folder), **settings)


def of_llama(folder, **changes):
    torch.manual_seed(0)
    collator = DataCollatorForLanguageModeling(tiny_tokenizer(), mlm=False)
    settings = {"budget": "2%", "method": QUICK, "train_dataset": Text(), "data_collator": collator} | changes
    return SearchTrainer(model=LlamaForCausalLM(CONFIGS["llama"]()), args=arguments(folder), **settings)


@pytest.mark.parametrize("make", [of_bert, of_llama])
def test_what_is_found_is_within_the_budget_repeats_trains_saves_and_loads(make, tmp_path):
    trainer = make(tmp_path / "a")
    state = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    budget = BUDGET if make is of_bert else int(0.02 * sum(p.numel() for p in trainer.model.parameters()))
    found = trainer.search()
    assert make(tmp_path / "b").search() == found == Configuration.load(tmp_path / "a/search/configuration.json")
    rows = [json.loads(line) for line in (tmp_path / "a/search/log.jsonl").read_text().splitlines()]
    assert max(row["triggers"] for row in rows if "triggers" in row) == 3

    trainer.train()
    assert 0 < count_peft_parameters(trainer.model) <= budget
    trainer.save_model(str(tmp_path / "adapter"))
    provenance = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["provenance"]
    assert (provenance["method"], provenance["budget"], provenance["seed"]) == ("bipeft", budget, trainer.args.seed)
    base = type(trainer.model.get_base_model())(trainer.model.get_base_model().config)
    base.load_state_dict(state)
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    ids = torch.arange(6, 14)[None]
    expected = trainer.model.eval()(input_ids=ids).logits
    torch.testing.assert_close(loaded(input_ids=ids).logits, expected)
    with loaded.disable_adapter():
        assert not torch.allclose(loaded(input_ids=ids).logits, expected)


METHODS = pytest.mark.parametrize("method", [QUICK, "pursuit"], ids=["bipeft", "pursuit"])


@METHODS
def test_the_model_is_given_back_as_it_was(method, tmp_path):
    trainer = of_bert(tmp_path, method=method)
    model = trainer.model
    model.bert.embeddings.requires_grad_(False)
    before = {name: (id(p), p.detach().clone(), p.requires_grad) for name, p in model.named_parameters()}
    args = trainer.args.to_dict()
    trainer.search()
    assert trainer.model is model and trainer.optimizer is None and trainer.state.global_step == 0
    assert trainer.args.to_dict() == args
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    for name, (identity, value, requires_grad) in before.items():
        assert id(after[name]) == identity and after[name].requires_grad == requires_grad
        assert torch.equal(after[name], value)


SMALL = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
}
# Families whose task head is a block of its own, or is read through a pooler; the last two are RoBERTa's relatives.
BLOCK_HEADS = [
    *(CONFIGS[name]() for name in ("roberta", "electra", "deberta-v2", "mpnet")),
    *(each(**SMALL) for each in (XLMRobertaConfig, CamembertConfig)),
]


@pytest.mark.parametrize("config", BLOCK_HEADS, ids=lambda config: type(config).__name__)
def test_a_head_of_several_layers_is_given_back_trained_and_merged(config, tmp_path):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    head = {name: tensor.clone() for name, tensor in model.classifier.state_dict().items()}
    trainer = SearchTrainer(
        model=model,
        args=arguments(tmp_path, max_steps=6),
        train_dataset=Parity(),
        budget="1%",
        space="mixed",
        method={"name": "prunepeft", "epochs": 1},
    )
    trainer.search()
    torch.testing.assert_close(dict(model.classifier.state_dict()), head, rtol=0, atol=0)
    trainer.train()
    ids = torch.arange(6, 14)[None]
    with torch.no_grad():
        expected = trainer.model.eval()(input_ids=ids).logits
        torch.testing.assert_close(trainer.model.merge_and_unload()(input_ids=ids).logits, expected)
    assert all(not torch.equal(model.classifier.state_dict()[name], tensor) for name, tensor in head.items())


def test_what_was_found_is_kept_where_the_model_cannot_be_given_back(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("not given back")

    monkeypatch.setattr(PeftSearchModel, "unload", fail)
    trainer = of_bert(tmp_path)
    with pytest.raises(RuntimeError, match="not given back"):
        trainer.search()
    assert Configuration.load(tmp_path / "search" / "configuration.json") == trainer.configuration


class Weighted(Trainer):
    """A loss of its own and a constructor of its own."""

    def __init__(self, *args, weight: float, **kwargs):
        super().__init__(*args, **kwargs)
        self.weight, self.calls = weight, []

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self.calls.append(torch.is_grad_enabled())
        outputs = model(input_ids=inputs["input_ids"])
        loss = self.weight * torch.nn.functional.cross_entropy(outputs.logits, inputs["labels"])
        return (loss, outputs) if return_outputs else loss


class SearchWeighted(SearchMixin, Weighted):
    pass


def test_the_search_uses_the_loss_of_the_users_class(tmp_path):
    trainer = of_bert(tmp_path, SearchWeighted, weight=100.0)
    trainer.search()
    rows = [json.loads(line) for line in (tmp_path / "search/log.jsonl").read_text().splitlines()]
    first = next(row for row in rows if "loss_weights" in row)
    # ln 2 is the cross-entropy of an untrained head with two labels.
    assert first["loss_weights"] == pytest.approx(69.3, rel=0.2)
    both = [row for row in rows if row.get("loss_architecture")]
    assert both and len(trainer.calls) == len([row for row in rows if "loss_weights" in row]) + len(both)


class OwnStep(SearchMixin, Trainer):
    """Its own training step, which does not call the Trainer's."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        model.train()
        loss = self.compute_loss(model, self._prepare_inputs(inputs))
        self.accelerator.backward(loss)
        return loss.detach()


def test_the_search_steps_around_a_training_step_of_the_users_own(tmp_path):
    trainer = of_bert(tmp_path, OwnStep)
    trainer.search()
    rows = [json.loads(line) for line in (tmp_path / "search" / "log.jsonl").read_text().splitlines()]
    assert sum("loss_architecture" in row for row in rows) > 0
    assert all("loss_weights" in row for row in rows if "stage" in row)


class Seen(TrainerCallback):
    def __init__(self):
        self.steps = 0

    def on_step_end(self, args, state, control, **_):
        self.steps += 1


@METHODS
def test_train_alone_searches_and_the_callbacks_see_the_training_only(method, tmp_path):
    seen = Seen()
    trainer = of_bert(tmp_path, callbacks=[seen], method=method)
    trainer.train()
    assert trainer.configuration is not None and isinstance(trainer.model, PeftModel)
    assert seen.steps == trainer.state.global_step == 16  # 32 examples by 4, twice
    rates = {group["name"]: group["lr"] for group in trainer.optimizer.param_groups}
    assert "head" in rates and set(rates) - {"head"} == set(trainer.configuration.num_modules_by_kind())
    with pytest.raises(ConfigurationError, match="already"):
        trainer.search()


@METHODS
def test_training_resumes_with_what_was_found(method, tmp_path):
    torch.manual_seed(0)
    settings = {"budget": BUDGET, "method": method, "train_dataset": Parity()}
    args = arguments(tmp_path, save_strategy="steps", save_steps=8)
    whole = SearchTrainer(model=TINY["bert"](), args=args, **settings)
    start = {name: tensor.clone() for name, tensor in whole.model.state_dict().items()}
    whole.train()
    model = TINY["bert"]()
    model.load_state_dict(start)
    again = SearchTrainer(model=model, args=args, **settings)
    again.search = lambda: pytest.fail("searched once more")
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    for (name, first), (_, second) in zip(whole.model.named_parameters(), again.model.named_parameters(), strict=True):
        torch.testing.assert_close(first, second, msg=name)


@pytest.mark.parametrize("method", ["s3delta", "prunepeft"])
def test_every_gate_method_searches_in_a_trainer(method, tmp_path):
    found = of_bert(tmp_path, method=method).search()
    assert len(found)


def test_a_method_that_scores_epochs_asks_for_an_evaluation_set(tmp_path):
    with pytest.raises(DataError, match="eval_dataset"):
        of_bert(tmp_path, method="s3delta", eval_dataset=None).search()


@pytest.mark.parametrize(
    "changes,error,says",
    [
        ({"method": "random"}, ConfigurationError, "bipeft, prunepeft, pursuit, s3delta"),
        ({"method": "bipfet"}, UnknownNameError, "Did you mean 'bipeft'"),
        ({"budget": 3}, BudgetError, "smallest"),
        ({"budget": "1%,2%"}, BudgetError, "one budget"),
        ({"optimizers": (torch.optim.SGD([torch.zeros(1)], lr=1.0), None)}, ConfigurationError, "optimizer_cls"),
    ],
)
def test_what_cannot_be_searched_is_refused_at_once(changes, error, says, tmp_path):
    with pytest.raises(error, match=says):
        of_bert(tmp_path, **changes)


def test_a_model_with_modules_is_refused(tmp_path):
    model = attach(TINY["bert"](), Configuration())
    with pytest.raises(ModelError, match="without peft modules"):
        SearchTrainer(model=model, args=arguments(tmp_path), train_dataset=Parity(), budget=BUDGET)


def test_a_launcher_that_cuts_the_model_is_refused_and_so_is_a_comparison_in_several_processes(
    tmp_path, monkeypatch, reviews
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ConfigurationError, match="asks for DeepSpeed"):
        SearchTrainer(model=TINY["bert"](), budget=BUDGET)
    settings = {"model": "demo", "data": reviews, "text": "review", "label": "stars", "output": str(tmp_path / "run")}
    with pytest.raises(ConfigurationError, match="asks for DeepSpeed"):
        train(**settings, configuration="lora")
    with pytest.raises(PeftSearchError, match="one of 2 processes"):
        compare(model="demo", methods="lora", tasks="demo", budget="1%", output=str(tmp_path / "compare"))
    assert not any(tmp_path.iterdir())


def test_the_name_of_a_model_is_refused_where_the_trainer_does_not_load_it(tmp_path):
    with pytest.raises(ConfigurationError, match="name 'demo', but this Trainer takes a loaded model"):
        SearchTrainer(model="demo", args=TrainingArguments(output_dir=str(tmp_path)), budget="1%")
