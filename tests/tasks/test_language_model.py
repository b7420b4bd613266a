"""The converter of causal models: batches, losses, scores and completions, against loops over all logits."""

import json
import math
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from peftsearch.errors import DataError, DivergedError
from peftsearch.task_head import TaskHead
from peftsearch.tasks import language_model
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.format_entry import LossTokens, WrittenTexts
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.target_limits import TargetLimits
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.tasks.token_scores import TokenScore, perplexity
from peftsearch.tasks.wanted_text import wanted_text
from peftsearch.testing.tiny_models import CONFIGS, DECODERS
from peftsearch.training.arguments import Phase
from peftsearch.training.evaluation import evaluate_for, losses, predict, write
from peftsearch.training.micro_batches import num_items
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import TaskTrainer

METRICS = ("loss", "perplexity", "next_token_accuracy")
PAIRS = [("2+2=", "4"), ("a longer prompt: ", "with a long answer"), ("", "nothing asked")]


def task(goal: Goal) -> Task:
    return Task("sums", goal, (), "loss", "loss", {}, "", 32, other_metrics=METRICS[1:])


@pytest.fixture
def make(decoder_tokenizer):
    def of(goal=Goal.INSTRUCTIONS, max_length=32, **loss):
        return make_task_format(
            task(goal), tokenizer=decoder_tokenizer, is_encoder_decoder=False, max_length=max_length,
            written=WrittenTexts(loss_tokens=LossTokens(**loss)),
        )  # fmt: skip

    return of


def pairs():
    return [Example((("prompt:", prompt),), (completion,)) for prompt, completion in PAIRS]


def texts(*found: str):
    return [Example((("text:", text),), ()) for text in found]


def tiny(family="llama", **changes):
    config = CONFIGS[family]()
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def by_hand(model, encoded):
    """(negative log-likelihood, is it the likeliest) of each counted token of each row, one at a time."""
    found = []
    for row in encoded:
        ids = torch.tensor([row["input_ids"]])
        logits = model(input_ids=ids).logits[0].double()
        found.append([
            (logits[k - 1].logsumexp(0).item() - logits[k - 1, label].item(), logits[k - 1].argmax().item() == label)
            for k, label in enumerate(row["labels"]) if label != -100
        ])  # fmt: skip
    return found


def batch_of(task_format, encoded):
    return task_format.collate([encoded[i] for i in range(len(encoded))])


def test_labels_stand_at_the_completion_and_its_end(make):
    task_format = make()
    encoded = task_format.encode(pairs()[:1])
    # Each character is a token: 2 + 2 = 4 </s>.
    assert len(encoded[0]["input_ids"]) == 6
    assert encoded[0]["labels"] == [-100] * 4 + encoded[0]["input_ids"][4:] and encoded[0]["labels"][-1] == 1
    assert task_format.head == TaskHead("CAUSAL_LM")
    batch = batch_of(task_format, encoded)
    assert batch["labels"].shape == batch["input_ids"].shape == (1, 8) and num_items(batch) == 2


def test_a_first_token_is_predicted_by_nothing(make):
    batch = batch_of(make(Goal.LANGUAGE_MODEL), make(Goal.LANGUAGE_MODEL).encode(texts("abc")))
    # b, c and the end are predicted.
    assert num_items(batch) == 3 and batch["labels"][0, 0] == -100


@pytest.mark.parametrize("family", DECODERS)
def test_losses_are_those_of_the_counted_tokens_alone(make, family):
    task_format, model = make(), tiny(family)
    encoded = task_format.encode(pairs())
    hand = by_hand(model, encoded)
    batch = batch_of(task_format, encoded)
    outputs = task_format.forward(model, batch)
    flat = [loss for row in hand for loss, _ in row]
    assert outputs.logits.shape == (len(flat), model.config.vocab_size)
    assert task_format.mean_loss(outputs, batch).item() == pytest.approx(sum(flat) / len(flat), rel=1e-5)
    means = [sum(loss for loss, _ in row) / len(row) for row in hand]
    assert task_format.row_losses(outputs, batch).tolist() == pytest.approx(means, rel=1e-5)
    assert losses(model, task_format, encoded, batch_size=2) == pytest.approx(means, rel=1e-5)
    scores = predict(model, task_format, encoded, batch_size=2)
    assert [(score.count, score.right) for score in scores] == [(len(row), sum(r for _, r in row)) for row in hand]
    split = EncodedSplit(tuple(pairs()), encoded)
    found = evaluate_for("loss", model, task_format, split, batch_size=3).metrics
    mean, share = sum(flat) / len(flat), sum(r for row in hand for _, r in row) / len(flat)
    expected = {"loss": mean, "perplexity": math.exp(mean), "next_token_accuracy": 100 * share}
    assert found == pytest.approx(expected, rel=1e-5)


def test_progress_is_told_while_texts_are_written(make, caplog):
    with caplog.at_level("INFO", logger="peftsearch.training.progress"):
        # One by one, so that the empty prompt has no others beside it.
        texts = write(tiny(), make(), pairs(), batch_size=1)
    assert len(texts) == len(pairs()) == 3
    assert "texts written: 3 of 3 texts" in caplog.text


def test_a_model_that_takes_no_places_gives_the_same(make, monkeypatch):
    task_format, model = make(), tiny()
    batch = batch_of(task_format, task_format.encode(pairs()))
    expected = task_format.forward(model, batch)
    inner = type(model).forward

    def forward(self, input_ids, attention_mask, labels=None):
        return inner(self, input_ids=input_ids, attention_mask=attention_mask, labels=labels)

    monkeypatch.setattr(type(model), "forward", forward)
    found = task_format.forward(model, batch)
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.loss, expected.loss)


@pytest.mark.parametrize("limit", [1, 60, 10**6])
def test_passes_bound_the_logits_and_change_nothing(make, monkeypatch, limit):
    task_format, model = make(), tiny()
    encoded = task_format.encode(pairs())
    batch = batch_of(task_format, encoded)
    expected = by_hand(model, encoded)
    monkeypatch.setattr(language_model, "_MAX_LOGITS", limit * len(task_format.tokenizer))
    counts = [num_items(part) for part in task_format.passes(batch)]
    assert sum(counts) == num_items(batch) and len(counts) == {1: 3, 60: 1, 10**6: 1}[limit]
    means = [sum(loss for loss, _ in row) / len(row) for row in expected]
    assert losses(model, task_format, encoded, batch_size=3) == pytest.approx(means, rel=1e-5)


def gradient(trainer, batches, items):
    trainer.model.zero_grad()
    trainer.create_optimizer()
    total = sum(trainer.training_step(trainer.model, batch, items).item() for batch in batches)
    return total, torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


@pytest.mark.parametrize("limit", [1, 10**6])
def test_accumulated_batches_have_the_mean_of_all_tokens(make, monkeypatch, limit, tmp_path):
    task_format, model = make(), tiny()
    encoded = task_format.encode(pairs())
    whole = batch_of(task_format, encoded)
    model.train()
    logits = model(input_ids=whole["input_ids"], attention_mask=whole["attention_mask"]).logits[:, :-1]
    labels = whole["labels"][:, 1:]
    mean = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
    mean.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    monkeypatch.setattr(language_model, "_MAX_LOGITS", limit * len(task_format.tokenizer))
    settings = TrainingSettings(learning_rate=1e-3, gradient_accumulation_steps=2)
    trainer = TaskTrainer(model, task_format=task_format, train=[], settings=settings, phase=Phase("a", tmp_path, 0))
    batches = [task_format.collate([encoded[0]]), task_format.collate([encoded[1], encoded[2]])]
    # Rows of unlike numbers of tokens: a mean of means would be another.
    items = trainer._get_num_items_in_batch(batches, torch.device("cpu"))
    assert items == num_items(whole)
    total, found = gradient(trainer, batches, items)
    assert total == pytest.approx(mean.item(), rel=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_rows_that_would_train_nothing_are_left_out_and_told(make, caplog):
    task_format = make(max_length=16)
    given = [replace(example, where=f"row {i + 1} of sums.csv") for i, example in enumerate(pairs())]
    encoded = task_format.encode(given)
    assert len(encoded) == 2 and encoded.num_truncated == task_format.num_truncated == 1
    assert "1 of 3 examples are left out, since 16 tokens end before their completions begin" in caplog.text
    assert encoded.num_left_out == 1
    assert "they would train nothing: row 2 of sums.csv. Raise --max_seq_length" in caplog.text
    with pytest.raises(DataError, match="Within 16 tokens none of the 1 rows has a token that counts"):
        task_format.encode(pairs()[1:2])


def test_a_prompt_whose_tokens_change_is_told_with_its_row(make, caplog):
    tokenizer = make().tokenizer
    task_format = make()
    # The tokenizer reads "</s>" as one token: the prompt's last characters are another in the whole.
    example = Example((("prompt:", "a</"),), ("s>b",), where="row 7 of sums.csv")
    encoded = task_format.encode([example])
    assert encoded[0]["input_ids"][1] == tokenizer.eos_token_id
    assert encoded[0]["labels"] == [-100, *encoded[0]["input_ids"][1:]]
    assert "1 of 1 prompts change where the completion follows, first in row 7 of sums.csv: 1 of 3" in caplog.text


def test_texts_are_packed_into_full_rows(make):
    packed = make(Goal.LANGUAGE_MODEL, max_length=4, packing=True).encode_for_training(texts("abc", "de", "f"))
    # a b c </s> | d e </s> f | </s>, of which the last has nothing to predict.
    ids = make().tokenizer("abcdef")["input_ids"]
    assert [row["input_ids"] for row in packed] == [[*ids[:3], 1], [*ids[3:5], 1, ids[5]]]
    assert [row["labels"] for row in packed] == [[-100, *ids[1:3], 1], [-100, ids[4], 1, ids[5]]]
    plain = make(Goal.LANGUAGE_MODEL, max_length=4, packing=True).encode(texts("abc", "de", "f"))
    assert len(plain) == 3, "scores are of single texts"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_completions_are_the_greedy_ones_whatever_shares_their_batch(make, family):
    model = tiny(family)
    task_format = make().answering()
    prompts = [Example((("prompt:", prompt),), ()) for prompt in ("ab", "a longer one", "c")]
    encoded = task_format.encode(prompts)
    batch = task_format.collate([encoded[i] for i in range(3)])
    assert batch["attention_mask"].sum(1).tolist() == [2, 12, 1] and batch["attention_mask"][:, -1].all()
    found = predict(model, task_format, encoded, batch_size=3)
    for example, text in zip(prompts, found, strict=True):
        ids = task_format.tokenizer(example.fields[0][1])["input_ids"]
        start = len(ids)
        while len(ids) < 60:
            ids.append(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item())
            if ids[-1] == model.config.eos_token_id:
                break
        expected = task_format.tokenizer.decode(ids[start:], skip_special_tokens=True).strip()
        assert text[: len(expected)] == expected


def test_a_loss_that_is_no_number_is_refused(make):
    with pytest.raises(DivergedError, match="The model's loss is nan"):
        make().score([TokenScore(math.nan, 2, 0)], [])
    assert perplexity([TokenScore(1e9, 1, 0)]) == math.exp(700)


@pytest.mark.parametrize(
    "goal,settings,message",
    [
        (Goal.INSTRUCTIONS, {"packing": True}, "packing is true, but joins whole texts"),
        (Goal.INSTRUCTIONS, {"assistant_only": True}, "only chats have turns of an assistant"),
        (Goal.CLASSIFICATION, {"packing": True}, "sums is no task of language models: its format is texts"),
        (Goal.CLASSIFICATION, {"completion_only": False}, "training.completion_only is false, but sums is no task"),
    ],
)
def test_settings_of_other_formats_are_refused(make, goal, settings, message):
    with pytest.raises(DataError, match=message):
        make(goal, **settings)


def test_a_model_that_reads_and_writes_is_refused(decoder_tokenizer):
    with pytest.raises(DataError, match="the model is an encoder-decoder. Take a decoder"):
        make_task_format(task(Goal.INSTRUCTIONS), tokenizer=decoder_tokenizer, is_encoder_decoder=True, max_length=32)


def test_what_is_written_is_compared_with_the_completion(decoder_tokenizer):
    wanted = Task(
        "pairs", Goal.INSTRUCTIONS, (), "loss", "loss", {}, "", 64, other_metrics=("final_number", "exact_text")
    )
    written = WrittenTexts(TargetLimits(max_new_tokens=5))
    made = make_task_format(
        wanted, tokenizer=decoder_tokenizer, is_encoder_decoder=False, max_length=64, written=written
    )
    examples = [Example((("prompt:", "1+1="),), (" so 2",)), Example((("prompt:", "2+2="),), (" 4",))]
    assert made.max_new_tokens == made.answering().max_new_tokens == 5
    assert made.score_texts(["so 2", "it is 4"], examples) == {"final_number": 100.0, "exact_text": 50.0}


def test_the_text_that_is_wanted_of_a_chat_is_its_last_answer():
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    asked = chat[:1]
    assert wanted_text(Example((("messages:", json.dumps(chat)),), ()), Goal.CHATS) == "ho"
    assert wanted_text(Example((("messages:", json.dumps(asked)),), ()), Goal.CHATS) == ""
    assert wanted_text(Example((("prompt:", json.dumps(asked)),), (json.dumps(chat[1:]),)), Goal.CHATS) == "ho"
    assert wanted_text(Example((("text:", "any"),), ()), Goal.LANGUAGE_MODEL) == ""
