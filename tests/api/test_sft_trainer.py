"""A search inside of TRL's SFTTrainer, where trl is installed."""

import pytest
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

from peftsearch import SearchMixin
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.testing.tiny_models import CONFIGS, tiny_tokenizer

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

QUICK = {"name": "bipeft", "max_triggers": 3, "warmup": 1, "weight_warmup": 1, "window": 1, "threshold": -1.0}


class SearchSFTTrainer(SearchMixin, trl.SFTTrainer):
    pass


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("method", [QUICK, "pursuit"], ids=["bipeft", "pursuit"])
def test_sft_searches_trains_and_saves(method, packing, tmp_path):
    torch.manual_seed(0)
    model = LlamaForCausalLM(CONFIGS["llama"]())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rows = [{"prompt": f"{i} plus one is ", "completion": f"{i + 1}"} for i in range(24)]
    args = trl.SFTConfig(
        output_dir=str(tmp_path),
        max_length=32,
        packing=packing,
        per_device_train_batch_size=2,
        num_train_epochs=2,
        learning_rate=1e-3,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
    )
    trainer = SearchSFTTrainer(
        model=model,
        args=args,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
        budget=800,
        method=method,
    )
    found = trainer.search()
    assert not any(trainer._metrics.values()), "what the search has seen would be shown as the training's"
    trainer.train()
    assert trainer.configuration == found
    assert 0 < count_peft_parameters(trainer.model) <= 800
    trainer.save_model(str(tmp_path / "adapter"))
    base = LlamaForCausalLM(CONFIGS["llama"]())
    base.load_state_dict(state)
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    assert 0 < count_peft_parameters(loaded) <= 800
    ids = torch.arange(6, 14)[None]
    torch.testing.assert_close(loaded(input_ids=ids).logits, trainer.model.eval()(input_ids=ids).logits)
