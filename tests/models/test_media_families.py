"""Models of images and sounds, for a Trainer: modules attached, trained, saved, and reloaded in plain peft."""

import copy

import pytest
import torch
import transformers
from peft import PeftModel
from text_families import tiny_config
from transformers import AutoConfig, PretrainedConfig

from peftsearch.api.attach import attach
from peftsearch.models.discover import find_sites
from peftsearch.modules.costs import cost_at
from peftsearch.space import SPACES, SearchSpace
from peftsearch.testing.kinds import as_if_pretrained

IMAGES = {"pixel_values": torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))}
TEXTS = {"input_ids": torch.arange(5, 17).view(2, 6)}


def of_images(model_type: str, **settings) -> PretrainedConfig:
    config = tiny_config(model_type)
    config.update({"image_size": 32, "patch_size": 8, **settings})
    return config


def clip() -> PretrainedConfig:
    config = tiny_config("clip")
    config.vision_config.update({"image_size": 32, "patch_size": 8})
    return config


def swin() -> PretrainedConfig:
    return AutoConfig.for_model(
        "swin", embed_dim=16, depths=[1, 2], num_heads=[2, 4], image_size=32, patch_size=4, window_size=2
    )


def wav2vec2() -> PretrainedConfig:
    sizes = {"conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2}
    config = tiny_config("wav2vec2")
    config.update({**sizes, "classifier_proj_size": 16, "num_conv_pos_embeddings": 8, "apply_spec_augment": False})
    return config


def whisper() -> PretrainedConfig:
    config = tiny_config("whisper")
    config.update({"max_source_positions": 20, "max_target_positions": 20, "decoder_start_token_id": 1})
    return config


SPECTRA = {"input_features": torch.randn(2, 80, 40, generator=torch.Generator().manual_seed(0))}
WAVES = {"input_values": torch.randn(2, 400, generator=torch.Generator().manual_seed(0))}
CASES = {
    "ViTForImageClassification": (lambda: of_images("vit"), IMAGES),
    "Dinov2ForImageClassification": (lambda: of_images("dinov2"), IMAGES),
    "SwinForImageClassification": (swin, IMAGES),
    "CLIPModel": (clip, IMAGES | TEXTS),
    "WhisperForConditionalGeneration": (whisper, SPECTRA | {"decoder_input_ids": TEXTS["input_ids"]}),
    "Wav2Vec2ForSequenceClassification": (wav2vec2, WAVES),
}


@pytest.mark.parametrize("class_name", list(CASES))
def test_modules_of_the_mixed_space_train_and_reload(class_name, tmp_path):
    make_config, inputs = CASES[class_name]
    config, kind = make_config(), getattr(transformers, class_name)
    model = as_if_pretrained(kind(copy.deepcopy(config)).eval())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    space = SearchSpace.build(SPACES["mixed"], sites=find_sites(model), cost=cost_at)

    def output(of: torch.nn.Module) -> torch.Tensor:
        made = of(**inputs)
        return made.logits if "logits" in made else made.logits_per_text

    before = output(model).detach()
    adapted = attach(model, space.largest)
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):
        (output(adapted) - torch.linspace(-1, 1, before.shape[-1])).square().mean().backward()
        optimizer.step()
    assert not [name for name, p in adapted.named_parameters() if "peftsearch_" in name and p.grad is None]
    after = output(adapted).detach()
    assert (after - before).abs().max() > 1e-6
    adapted.save_pretrained(str(tmp_path))
    base = kind(config).eval()
    base.load_state_dict(state)
    assert torch.equal(output(PeftModel.from_pretrained(base, str(tmp_path)).eval()), after)
