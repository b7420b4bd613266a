"""Models whose layers accelerate has spread: here over the CPU's memory and the disk."""

import pytest
import torch
from accelerate import dispatch_model
from transformers import TrainingArguments

from peftsearch.errors import TrainingError
from peftsearch.models.discover import find_sites
from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.attach import attach
from peftsearch.modules.placement import input_device
from peftsearch.space import Choice, Configuration, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.testing.tiny_models import TINY
from peftsearch.training.resuming import ResumingTrainer

IDS = torch.tensor([[70, 80, 90, 100]])
# One module of each way to act: on the input, in attention, on the output, on the bias, by the block's input.
MODULES = Configuration.of(
    [
        Choice("encoder.0.query", "lora", 2),
        Choice("encoder.0.value", "prefix", 2),
        Choice("encoder.1.value", "lora", 2),
        Choice("encoder.1.key", "bitfit"),
        Choice("encoder.1.ffn_out", "ia3"),
        Choice("encoder.1.ffn_out", "parallel_adapter", 2),
        Choice("encoder.1.ffn_norm", "lnfit"),
    ]
)


def spread(model, folder, **places: str):
    """The model with its embeddings and its second block on the disk, and the rest in memory."""
    where = {
        "bert.embeddings": "disk",
        "bert.encoder.layer.0": "cpu",
        "bert.encoder.layer.1": "disk",
        "bert.pooler": "cpu",
        "classifier": "cpu",
    }
    return dispatch_model(model, where | places, main_device="cpu", offload_dir=str(folder), force_hooks=True)


@pytest.fixture
def pair(tmp_path):
    """The same adapted model twice: whole, and spread."""
    models = []
    for make in (lambda model: model, lambda model: spread(model, tmp_path)):
        torch.manual_seed(0)
        base = TINY["bert"]().eval()
        sites = find_sites(base)
        torch.manual_seed(1)
        models.append(attach(make(base), MODULES, sites=sites, head=("classifier",)).eval())
        for layer in models[-1].modules():
            if isinstance(layer, AdaptedLayer):
                torch.manual_seed(2)
                layer.randomise("default")
    return models


def test_modules_live_in_memory_beside_layers_that_do_not_and_compute_the_same(pair):
    whole, parts = pair
    assert next(parts.parameters()).is_meta and input_device(parts).type == "cpu"
    assert not [name for name, p in parts.named_parameters() if p.requires_grad and p.is_meta]
    torch.testing.assert_close(parts(IDS).logits, whole(IDS).logits)


def test_gradients_reach_modules_through_layers_on_the_disk(pair):
    found = []
    for model in pair:
        model(IDS).logits.square().sum().backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    torch.testing.assert_close(found[1], found[0])


def test_a_supernet_gates_them_where_they_are(pair):
    outputs = []
    for model in pair:
        sites = find_sites(TINY["bert"]())
        space = SearchSpace(dict.fromkeys(MODULES, 1))
        supernet = Supernet(model, sites=sites, space=space)
        with supernet.gated(dict.fromkeys(space.ranks)):
            outputs.append(model(IDS).logits)
    torch.testing.assert_close(outputs[1], outputs[0])


def test_a_trainer_leaves_them_where_they_are(pair, tmp_path):
    parts = pair[1]
    arguments = TrainingArguments(output_dir=str(tmp_path / "out"), use_cpu=True, report_to="none")
    ResumingTrainer(parts, arguments)
    assert next(parts.parameters()).is_meta


def test_a_head_on_the_disk_cannot_be_trained_and_is_named(tmp_path):
    model = spread(TINY["bert"](), tmp_path, classifier="disk")
    attached = attach(model, MODULES, sites=find_sites(TINY["bert"]()), head=("classifier",))
    with pytest.raises(TrainingError, match="classifier.*is to be trained, but was moved out of memory"):
        ResumingTrainer(attached, TrainingArguments(output_dir=str(tmp_path / "out"), use_cpu=True, report_to="none"))
