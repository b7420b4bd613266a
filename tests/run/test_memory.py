"""The memory of a plan against what torch's profiler sees, what bitsandbytes packs, and a model of 70B."""

import resource
import time
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForSequenceClassification, LlamaConfig

from peftsearch import plan
from peftsearch.models.discover import find_sites
from peftsearch.models.head import find_head
from peftsearch.models.load import load_task_model, sketch_model
from peftsearch.models.loading import loading_of
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import cost_at
from peftsearch.run import memory
from peftsearch.run.memory import Batches, Use, estimate_memory, need_of
from peftsearch.run.uses import uses_of
from peftsearch.space import SPACES, SearchSpace
from peftsearch.task_head import TaskHead

BATCHES = Batches(16, 96)
HEAD = TaskHead.of_labels(2, None, ())


def uses(name: str) -> tuple[list, tuple[Use, ...]]:
    sites = find_sites(sketch_model(name).model)
    return sites, uses_of(SearchSpace.build(SPACES["mixed"], sites=sites, cost=cost_at), sites)


def peak_seen(step) -> int:
    """The most bytes of tensors that are alive at once, by the allocations that torch's profiler records."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@pytest.mark.parametrize("family", ["bert", "t5", "llama"])
@pytest.mark.parametrize("which", [0, 1])
def test_the_activations_of_a_step_are_those_that_a_profiler_sees(family, which, tiny_folder):
    sites, found = uses(tiny_folder(family))
    estimate = need_of(sketch_model(tiny_folder(family)), tuple(sites), found[which], batches=BATCHES)
    model = AutoModelForSequenceClassification if family != "t5" else None
    loaded = load_task_model(tiny_folder(family), HEAD).model if model else _load_t5(tiny_folder(family))
    attached = attach(loaded, found[which].configuration, sites=sites, head=find_head(loaded)).train()
    ids = torch.ones(BATCHES.size, BATCHES.tokens, dtype=torch.long)
    labels = ids if family == "t5" else torch.zeros(BATCHES.size, dtype=torch.long)
    seen = peak_seen(lambda: attached(input_ids=ids, labels=labels).loss.backward())
    assert seen * 0.85 < estimate.activations < seen * 1.15


def _load_t5(name: str):
    return load_task_model(name, TaskHead.of_labels(None, None, ())).model


def test_sizes_follow_from_what_is_trained(tiny_folder):
    sites, (training, gates, pursuit) = uses(tiny_folder("bert"))
    sketch = sketch_model(tiny_folder("bert"))
    lora, both, gradients = (need_of(sketch, tuple(sites), use, batches=BATCHES) for use in (training, gates, pursuit))
    assert lora.weights == 4 * sum(p.numel() for p in sketch.model.parameters())
    assert lora.gradients == lora.modules and lora.optimizer == 2 * lora.modules
    assert gradients.gradients == 4 * gradients.modules and gradients.optimizer == 0
    assert both.activations > lora.activations


def test_checkpointing_and_smaller_batches_need_less(tiny_folder):
    sites, (training, *_) = uses(tiny_folder("bert"))
    changes = ({}, {"gradient_checkpointing": True}, {"size": 4})
    found = [
        need_of(sketch_model(tiny_folder("bert")), tuple(sites), training, batches=replace(BATCHES, **change))
        for change in changes
    ]
    assert found[1].activations < found[0].activations > 3 * found[2].activations


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_weights_are_as_large_as_bitsandbytes_makes_them(bits, tmp_path):
    pytest.importorskip("bitsandbytes")
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=64, **sizes, pad_token_id=0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    from peftsearch.testing import tiny_tokenizer

    tiny_tokenizer().save_pretrained(tmp_path)
    loading = loading_of(in_4bit=bits == 4, in_8bit=bits == 8)
    real = load_task_model(str(tmp_path), HEAD, loading=loading).model
    size = sum(t.numel() * t.element_size() for t in real.state_dict().values())
    sites, (training, *_) = uses(str(tmp_path))
    batches = replace(BATCHES, loading=loading)
    estimate = need_of(sketch_model(str(tmp_path)), tuple(sites), training, batches=batches)
    assert estimate.weights == pytest.approx(size, rel=0.03)


def test_what_does_not_fit_is_told_with_what_to_switch_on(tiny_folder, monkeypatch):
    sites, found = uses(tiny_folder("bert"))
    sketch = sketch_model(tiny_folder("bert"))
    assert not estimate_memory(sketch, sites, found[:1], batches=BATCHES).advice
    monkeypatch.setattr(memory, "_device", lambda: ("the GPU", 2**20))
    (advice,) = estimate_memory(sketch, sites, found[:1], batches=BATCHES).advice
    assert "does not fit the GPU (1.00 MiB)" in advice
    for words in ("gradient_checkpointing true", "per_device_train_batch_size 4", "load_in_4bit true", "several dev"):
        assert words in advice


def test_the_plan_of_a_model_of_70b_takes_seconds_and_little_memory(tmp_path):
    sizes = {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64}
    LlamaConfig(vocab_size=128256, num_key_value_heads=8, **sizes, pad_token_id=0).save_pretrained(tmp_path)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = plan(str(tmp_path), budget="0.1%", batches=Batches(loading=loading_of(in_4bit=True)))
    # Of the processor: another process may have the core meanwhile.
    assert time.process_time() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * 2**20  # KiB
    training = found.memory.needs["training (uniform LoRA)"]
    assert 36e9 < training.weights < 46e9
