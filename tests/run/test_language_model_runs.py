"""Runs of language models: a search, plain peft with the same loss and words, exports, report and predictions."""

import html
import json
import math
import random
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from peftsearch import errors, evaluate, predict, search, train
from peftsearch.cli.main import main
from peftsearch.run.dry_run import describe_search
from peftsearch.run.export import run_export
from peftsearch.run.make_config import make_config
from peftsearch.testing.tiny_models import save_tiny_language_model

TRAINING = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-2}


def pair(rng):
    letter, count = rng.choice("abcd"), rng.randint(1, 6)
    return {"prompt": f"{letter}{count}{rng.randint(0, 99)}:", "completion": letter * count}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Training, validation and test file."""
    rng, folder = random.Random(0), tmp_path_factory.mktemp("pairs")
    paths = []
    for name, size in (("train", 48), ("valid", 12), ("test", 12)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(pair(rng)) + "\n" for _ in range(size)))
        paths.append(str(path))
    return ",".join(paths)


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def model(tmp_path_factory, request):
    """A tiny decoder, whose layer for the next token has weights of its own or those of the embeddings."""
    family = "llama" if request.param else "gpt2"
    return str(save_tiny_language_model(family, tmp_path_factory.mktemp("model"), is_tied=request.param))


@pytest.fixture(scope="module")
def found(pairs, model, tmp_path_factory):
    """A finished search by the default method, beside uniform LoRA."""
    output = str(tmp_path_factory.mktemp("lm") / "run")
    return search(
        model=model, data=pairs, keep="searched", budget="600", output=output, training=TRAINING, verify=False
    )


@pytest.fixture(scope="module")
def rows(pairs):
    return [json.loads(line) for line in open(pairs.split(",")[2], encoding="utf-8")]


def plain_loss(model, tokenizer, rows):
    """The mean loss of the tokens of the completions, one row at a time."""
    total, count = 0.0, 0
    for row in rows:
        start = len(tokenizer(row["prompt"])["input_ids"]) - 1  # without the end that the tiny tokenizer adds
        ids = torch.tensor([tokenizer(row["prompt"] + row["completion"] + tokenizer.eos_token)["input_ids"]])
        labels = ids.clone()
        labels[:, :start] = -100
        with torch.no_grad():
            loss = model(input_ids=ids, labels=labels).loss.item()
        total, count = total + loss * (ids.shape[1] - start), count + ids.shape[1] - start
    return total / count


def plain_text(model, tokenizer, prompt):
    """What plain transformers writes after a prompt."""
    ids = torch.tensor([tokenizer(prompt)["input_ids"][:-1]])
    with torch.no_grad():
        written = model.generate(input_ids=ids, max_new_tokens=60, do_sample=False, pad_token_id=0)
    return tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True).strip()


def test_scores_are_those_of_plain_peft(found, rows, model, tmp_path):
    test = found.metrics["test"]
    assert found.metrics["metric"] == "loss" and set(test["all"]) == {"loss", "perplexity", "next_token_accuracy"}
    assert found.metrics["head_parameters"] == 0 and found.metrics["parameters"] <= 600
    tokenizer = AutoTokenizer.from_pretrained(model)
    base = AutoModelForCausalLM.from_pretrained(model)
    adapter = found.folder / "adapter"
    assert json.loads((adapter / "adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"
    assert not json.loads((adapter / "adapter_config.json").read_text())["modules_to_save"]
    plain = PeftModel.from_pretrained(base, adapter).eval()
    assert plain_loss(plain, tokenizer, rows) == pytest.approx(test["value"], rel=1e-5)
    assert test["all"]["perplexity"] == pytest.approx(math.exp(test["value"]))
    assert evaluate(found.folder) == pytest.approx(test["all"])
    assert test["value"] < plain_loss(AutoModelForCausalLM.from_pretrained(model).eval(), tokenizer, rows)


def test_predictions_are_what_plain_peft_and_the_merged_checkpoint_write(found, rows, model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(model)
    answered = predict(found.folder, [{"prompt": row["prompt"]} for row in rows[:4]], max_new_tokens=60).rows
    run_export(found.folder, format="merged", output=tmp_path / "merged")
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), found.folder / "adapter").eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    # The layer for the next token and the embeddings stay as they were, tied or not.
    base = AutoModelForCausalLM.from_pretrained(model)
    assert torch.equal(merged.get_output_embeddings().weight, base.get_output_embeddings().weight)
    assert torch.equal(merged.get_input_embeddings().weight, base.get_input_embeddings().weight)
    for row in answered:
        expected = plain_text(plain, tokenizer, row["prompt"])
        assert row["prediction"] == expected
        assert plain_text(merged, tokenizer, row["prompt"]) == expected


def test_card_and_report_speak_of_language_models(found):
    card = (found.folder / "adapter" / "README.md").read_text()
    assert "pipeline_tag: text-generation" in card and "AutoModelForCausalLM" in card and "Text Generation" in card
    page = (found.folder / "report.html").read_text()
    assert "loss (lower is better)" in page


def test_predict_writes_files_and_needs_no_completions(found, tmp_path, capsys):
    data = tmp_path / "new.csv"
    data.write_text("prompt\na2:\n")
    assert main(["predict", str(found.folder), "--data", str(data), "--output", str(tmp_path / "out.jsonl")]) == 0
    (row,) = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert set(row) == {"prompt", "prediction"}
    with pytest.raises(errors.DataError, match="has a column 'prediction', which the predictions would replace"):
        predict(found.folder, [{"prompt": "a", "prediction": "b"}])


def test_a_dry_run_names_the_task(pairs, model, tmp_path):
    config = make_config({"model": model, "data": pairs, "budget": "600", "output": str(tmp_path / "run")})
    shown = describe_search(config)
    assert "labels    next tokens" in shown and "metric loss" in shown and "head 0" in shown


@pytest.fixture
def chats(tmp_path):
    rng = random.Random(0)
    path = tmp_path / "chats.jsonl"
    asked = [pair(rng) for _ in range(40)]
    path.write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": row["prompt"]},
                                     {"role": "assistant", "content": row["completion"]}]}) + "\n"
            for row in asked
        )
    )  # fmt: skip
    return str(path)


@pytest.mark.parametrize("method", ["bipeft", "s3delta", "adalora"])
def test_other_methods_train_on_chats(chats, tmp_path, method):
    model = str(save_tiny_language_model("qwen2", tmp_path / "model"))
    settings = {"model": model, "data": chats, "budget": "600", "verify": False, "output": str(tmp_path / "run")}
    training = TRAINING | {"assistant_only": True, "gradient_checkpointing": True, "num_train_epochs": 3}
    if method == "adalora":
        done = train(**settings, configuration=method, training=training)
    else:
        named = {"name": method, **({"max_triggers": 3, "warmup": 0.3, "weight_warmup": 1, "window": 1}
                                    if method == "bipeft" else {})}  # fmt: skip
        done = search(**settings, method=named, baseline=False, training=training)
    assert 0 < done.metrics["parameters"] <= 600 and done.metrics["test"]["metric"] == "loss"
    (row,) = predict(done.folder, [{"messages": [{"role": "user", "content": "a2:"}]}]).rows
    assert isinstance(row["prediction"], str)


def test_samples_of_chats_show_the_turns_before_the_answer(chats, tmp_path):
    model = str(save_tiny_language_model("qwen2", tmp_path / "model"))
    settings = {"model": model, "data": chats, "budget": "600", "verify": False, "output": str(tmp_path / "run")}
    done = train(**settings, configuration="uniform_lora", training=TRAINING)
    samples = json.loads((done.folder / "samples.json").read_text())["samples"]
    answers = {}
    for line in Path(chats).read_text().splitlines():
        question, answer = json.loads(line)["messages"]
        answers[f"user: {question['content']}"] = answer["content"]
    assert samples and all(sample["wanted"] == answers[sample["read"]] for sample in samples)
    page = (done.folder / "report.html").read_text()
    assert all(html.escape(sample["read"]) in page for sample in samples)


def test_texts_are_packed_with_gradient_checkpointing(tmp_path):
    model = str(save_tiny_language_model("llama", tmp_path / "model"))
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": "abc " * (i % 5 + 1)}) + "\n" for i in range(60)))
    training = TRAINING | {"packing": True, "gradient_checkpointing": True, "max_seq_length": 32}
    settings = {"model": model, "data": str(path), "budget": "600", "verify": False, "baseline": False}
    losses = {}
    for name in (True, False):
        output = str(tmp_path / f"run{name}")
        losses[name] = search(**settings, output=output, training=training | {"gradient_checkpointing": name}).metrics[
            "test"
        ]["value"]
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)


@pytest.mark.parametrize(
    "family,message",
    [("bert", "reads a text in both directions .*Take a decoder"), ("t5", "but the model is an encoder-decoder")],
)
def test_models_that_cannot_are_refused(pairs, tiny_folder, family, message, tmp_path):
    settings = {"model": tiny_folder(family), "data": pairs, "budget": "600", "output": str(tmp_path / "run")}
    with pytest.raises(errors.PeftSearchError, match=message):
        describe_search(make_config(settings | {"task_format": "instructions"}))
