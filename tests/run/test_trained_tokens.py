"""Runs that train the rows of added tokens: budgets, plain peft, exports, resuming and refusals."""

import json
import random
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from peftsearch import errors, predict, search, train
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.run.dry_run import describe_search, describe_train
from peftsearch.run.export import run_export
from peftsearch.run.make_config import make_config
from peftsearch.testing.stopping import stopped_often
from peftsearch.testing.tiny_models import WIDTH, save_tiny_language_model

TOKENS = ["<call>", "<done>"]
BUDGET = 700
TRAINING = {
    "trainable_tokens": ",".join(TOKENS),
    "num_train_epochs": 1,
    "per_device_train_batch_size": 8,
    "learning_rate": 1e-2,
}


def pair(rng):
    letter, count = rng.choice("abcd"), rng.randint(1, 6)
    return {"prompt": f"<call>{letter}{count}{rng.randint(0, 99)}:", "completion": letter * count + "<done>"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Training, validation and test file."""
    rng, folder = random.Random(0), tmp_path_factory.mktemp("pairs")
    for name, size in (("train", 24), ("valid", 8), ("test", 8)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(pair(rng)) + "\n" for _ in range(size)))
    return ",".join(str(folder / f"{name}.jsonl") for name in ("train", "valid", "test"))


def save_resized(folder, *, is_tied):
    """A tiny decoder whose user has added two tokens, as transformers says."""
    save_tiny_language_model("llama", folder, is_tied=is_tied)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    tokenizer.add_tokens(TOKENS)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def untied(tmp_path_factory):
    return save_resized(tmp_path_factory.mktemp("untied"), is_tied=False)


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def model(tmp_path_factory, request, untied):
    return save_resized(tmp_path_factory.mktemp("tied"), is_tied=True) if request.param else untied


def is_tied(model):
    return AutoModelForCausalLM.from_pretrained(model).config.tie_word_embeddings


def num_row_parameters(model):
    return len(TOKENS) * WIDTH * (1 if is_tied(model) else 2)


@pytest.fixture(scope="module")
def found(pairs, model, tmp_path_factory):
    """A finished search by the default method."""
    settings = {"model": model, "data": pairs, "baseline": False, "verify": False, "budget": str(BUDGET)}
    return search(output=str(tmp_path_factory.mktemp("tokens") / "run"), training=TRAINING, **settings)


def written(model, tokenizer, prompt):
    """What plain transformers writes after a prompt."""
    ids = torch.tensor([tokenizer(prompt)["input_ids"][:-1]])  # without the end that the tiny tokenizer adds
    with torch.no_grad():
        ids_out = model.eval().generate(input_ids=ids, max_new_tokens=12, do_sample=False, pad_token_id=0)
    return tokenizer.decode(ids_out[0, ids.shape[1] :], skip_special_tokens=True).strip()


def test_rows_count_in_the_budget_and_plain_peft_loads_them(found, model):
    rows = num_row_parameters(model)
    assert found.metrics["token_parameters"] == rows and found.metrics["head_parameters"] == 0
    assert found.metrics["budget"]["parameters"] == BUDGET
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), found.folder / "adapter")
    assert rows < count_peft_parameters(plain) == found.metrics["parameters"] <= BUDGET


def test_plain_peft_and_every_export_write_what_predict_writes(found, model, pairs, tmp_path):
    tokenizer, base = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    prompts = [json.loads(row)["prompt"] for row in Path(pairs.split(",")[2]).read_text().splitlines()[:3]]
    rows = predict(found.folder, [{"prompt": prompt} for prompt in prompts], max_new_tokens=12).rows
    for form in ("lora", "merged"):
        run_export(found.folder, format=form, output=tmp_path / form)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    before, after = base.get_input_embeddings().weight, merged.get_input_embeddings().weight
    changed = (before != after).any(1).nonzero().flatten().tolist()
    assert changed == tokenizer.convert_tokens_to_ids(TOKENS)
    assert torch.equal(after, merged.get_output_embeddings().weight) == is_tied(model)
    loaded = [
        merged,
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), found.folder / "adapter"),
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), tmp_path / "lora"),
    ]
    for one in loaded:
        assert [written(one, tokenizer, prompt) for prompt in prompts] == [row["prediction"] for row in rows]


def test_exports_hold_the_rows_or_say_that_they_cannot(found, model, tmp_path):
    names = ["model.embed_tokens"] if is_tied(model) else ["model.embed_tokens", "lm_head"]
    ids = AutoTokenizer.from_pretrained(model).convert_tokens_to_ids(TOKENS)
    for form, file in (("trl", "train.py"), ("axolotl", "axolotl.yaml")):
        run_export(found.folder, format=form, output=tmp_path / form)
        text = (tmp_path / form / file).read_text()
        assert "trainable_token_indices" in text and all(name in text for name in names)
        assert all(str(number) in text for number in ids)
    assert "TrainableTokensWrapper.bias = None" in (tmp_path / "trl" / "train.py").read_text()
    with pytest.raises(errors.ExportError, match="trains no single rows of embeddings"):
        run_export(found.folder, format="llamafactory", output=tmp_path / "llamafactory")
    with pytest.raises(errors.ExportError, match="rows of added tokens"):
        run_export(found.folder, format="adapters", output=tmp_path / "adapters")


def test_inherited_weights_want_the_same_tokens(found, model, pairs, tmp_path):
    given = {"model": model, "data": pairs, "configuration": str(found.folder), "inherit": True}
    with pytest.raises(errors.ConfigurationError, match="rows of the tokens 262, 263, and .* of no tokens"):
        describe_train(make_config(given | {"output": str(tmp_path / "run")}))
    assert "trains    configuration" in describe_train(make_config(given | {"training": TRAINING}))


def test_a_search_that_is_stopped_every_few_steps_ends_with_the_same_rows(pairs, untied, monkeypatch, tmp_path):
    given = {"model": untied, "data": pairs, "baseline": False, "verify": False, "budget": str(BUDGET)}
    often = TRAINING | {"save_steps": 1}

    def run(name, resume=False):
        return search(output=str(tmp_path / name), training=often, resume=resume, **given)

    first = run("first")
    second, num_stops = stopped_often(lambda resume: run("second", resume), monkeypatch, every=2)
    assert num_stops >= 1
    weights = [(each.folder / "adapter" / "adapter_model.safetensors").read_bytes() for each in (first, second)]
    assert weights[0] == weights[1]


def test_a_training_and_adalora_train_them_and_servers_take_none(pairs, untied, tmp_path):
    for name in ("adalora", "lora"):
        given = {"model": untied, "data": pairs, "configuration": name, "verify": False, "budget": str(BUDGET)}
        result = train(output=str(tmp_path / name), training=TRAINING, **given)
        saved = json.loads((result.folder / "adapter" / "adapter_config.json").read_text())
        assert saved["trainable_token_indices"] and result.metrics["parameters"] <= BUDGET
    with pytest.raises(errors.ExportError, match=r"servable LoRA adapter: rows of added tokens \(servers take none\)"):
        run_export(result.folder, format="servable", output=tmp_path / "servable")


def test_what_cannot_be_trained_is_refused_before_the_run(pairs, untied, tmp_path):
    given = {"model": untied, "data": pairs, "budget": str(BUDGET), "output": str(tmp_path / "run")}
    words = describe_search(make_config(given | {"training": TRAINING}))
    assert "the rows of <call>, <done> in model.embed_tokens" in words and "never servable" in words
    with pytest.raises(errors.ModelError, match="names '<cal>', which is no token of the tokenizer"):
        describe_search(make_config(given | {"training": {"trainable_tokens": "<cal>"}}))
    with pytest.raises(errors.BudgetError, match="A budget of 64 parameters is used up by the rows"):
        describe_search(make_config(given | {"budget": "64", "training": TRAINING}))
