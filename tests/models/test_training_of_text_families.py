"""Every text model of transformers for real: modules attached, trained, saved, and reloaded in plain peft."""

import copy
from typing import Any

import pytest
import torch
from peft import PeftModel
from text_families import NOT_MADE, TEXT_TYPES, tiny_config
from transformers import PreTrainedModel

from peftsearch.models.discover import find_sites
from peftsearch.models.head import find_head
from peftsearch.models.head_class import class_for_plan
from peftsearch.modules.attach import attach, count_peft_parameters
from peftsearch.modules.costs import cost_at
from peftsearch.space import SPACES, SearchSpace
from peftsearch.testing.kinds import as_if_pretrained

# Run with every change: one of each sort of structure.
_COMMON = {
    "albert",
    "deberta",
    "deepseek_v3",
    "gemma3",
    "jamba",
    "led",
    "longformer",
    "longt5",
    "mixtral",
    "modernbert",
    "nomic_bert",
    "pegasus",
    "phi3",
    "prophetnet",
    "switch_transformers",
    "umt5",
    "xlnet",
}
# Model type -> why it cannot be run on texts here.
_NOT_RUN = {
    "bailing_hybrid": "its tiny configuration has groups of experts that do not fit",
    "blt": "its bare class reads a number of layers that its configuration lacks",
    "emu3": "its bare class has 240 million parameters",
    "ibert": "refused",
    "kimi_linear": "its tiny configuration has groups of experts that do not fit",
    "llama4": "its experts have 17 million parameters",
    "mistral4": "its tiny configuration has widths of heads that do not fit",
    "perceiver": "refused",
    "reformer": "refused",
    "squeezebert": "refused",
    "vibevoice_asr": "it has 687 million parameters",
    "voxtral_realtime": "it needs sound",
    "whisper": "its bare class needs sound",
    "xlstm": "its tiny configuration has widths of heads that do not fit",
}
# Model type -> why some modules get no gradient here.
_IDLE = {
    "canine": "only token classification reads the last characters' encoder",
    "encoder-decoder": "its decoder has no cross-attention unless the configuration asks for it",
    "layoutlmv3": "only images are normalised last",
    "mra": "its attention needs a CUDA kernel",
    "trocr": "its decoder alone has nothing to attend to",
}


def output(model: PreTrainedModel | PeftModel) -> torch.Tensor:
    """What the model makes of two texts of twelve tokens: logits, or hidden states of a model without a head."""
    ids = torch.randint(5, 60, (2, 12), generator=torch.Generator().manual_seed(0))
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    made = model(**inputs, **({"decoder_input_ids": ids[:, :4]} if model.config.is_encoder_decoder else {}))
    return next(made[name] for name in ("logits", "last_hidden_state") if made.get(name) is not None)


def train(model: PeftModel) -> None:
    """Take two steps towards other outputs."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):
        made = output(model.train())
        (made - torch.linspace(-1, 1, made.shape[-1])).square().mean().backward()
        optimizer.step()
    model.eval()


CASES = [
    pytest.param(model_type, marks=() if model_type in _COMMON else pytest.mark.slow)
    for model_type in TEXT_TYPES
    if model_type not in NOT_MADE and model_type not in _NOT_RUN
]


@pytest.mark.parametrize("model_type", CASES)
def test_trained_modules_of_the_mixed_space_reload_in_plain_peft(model_type, tmp_path):
    config = tiny_config(model_type)
    made_by = class_for_plan(config)
    model = as_if_pretrained(made_by.from_config(copy.deepcopy(config)).eval())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sites = find_sites(model)
    space = SearchSpace.build(SPACES["mixed"], sites=sites, cost=cost_at)
    with torch.no_grad():
        before = output(model)
    adapted = attach(model, space.largest, sites=sites, head=find_head(model)).eval()
    assert count_peft_parameters(adapted) == space.cost(space.largest)
    with torch.no_grad():
        torch.testing.assert_close(output(adapted), before, atol=1e-5, rtol=1e-5)
    train(adapted)
    idle = [n for n, p in adapted.named_parameters() if "peftsearch_" in n and p.grad is None]
    assert bool(idle) == (model_type in _IDLE), idle[:5]
    with torch.no_grad():
        after = output(adapted)
    assert (after - before).abs().max() > 1e-6
    adapted.save_pretrained(str(tmp_path))
    base = made_by.from_config(config).eval()
    base.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(output(PeftModel.from_pretrained(base, str(tmp_path)).eval()), after)
