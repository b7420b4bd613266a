"""Models that read pictures: their image processors, their sites, and the sizes of ViT by hand."""

import json

import pytest
import torch
from picture_models import PICTURE_MODELS
from transformers import ViTConfig

from peftsearch.errors import ModelError
from peftsearch.models.discover import find_sites
from peftsearch.models.head import find_head
from peftsearch.models.load import load_processor, load_task_model, sketch_model
from peftsearch.models.picture_processor import load_image_processor
from peftsearch.modules.costs import num_parameters
from peftsearch.run.plan import plan
from peftsearch.space import Role
from peftsearch.task_head import PICTURE, Medium, TaskHead
from peftsearch.testing import TINY_PICTURE_MODELS, save_tiny

# Maps of width x width, the two of the feed-forward part, and norms before both parts.
LINEAR = {Role.QUERY, Role.KEY, Role.VALUE, Role.ATTENTION_OUTPUT, Role.FFN_IN, Role.FFN_OUT}
NORMS = {Role.ATTENTION_NORM, Role.FFN_NORM}


@pytest.fixture
def vit_base(tmp_path):
    """The sizes of google/vit-base-patch16-224, which are the defaults, with 1,000 classes."""
    config = ViTConfig()
    config.num_labels = 1000
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (12, 768, 3072)
    assert (config.image_size, config.patch_size) == (224, 16)
    config.save_pretrained(tmp_path)
    return str(tmp_path)


def test_vit_base_has_the_parameters_that_a_hand_count_gives(vit_base):
    sketch = sketch_model(vit_base)
    width, inner, patches = 768, 3072, (224 // 16) ** 2
    embeddings = width + (patches + 1) * width + 3 * 16 * 16 * width + width
    attention = 4 * (width * width + width)
    feed_forward = (width * inner + inner) + (inner * width + width)
    block = attention + feed_forward + 2 * 2 * width
    assert sketch.backbone_parameters == embeddings + 12 * block + 2 * width == 85_798_656
    assert (sketch.head, sketch.head_parameters) == (("classifier",), 1000 * width + 1000)


def test_vit_base_has_eight_sites_a_layer_and_a_norm_at_the_end(vit_base):
    sites = find_sites(sketch_model(vit_base).model)
    for layer in range(12):
        assert {site.role for site in sites if site.layer == layer} == LINEAR | NORMS
    assert len(sites) == 12 * 8 + 1
    assert sites[-1].role is Role.FINAL_NORM
    by_role = {site.role: site for site in sites if site.layer == 3}
    # LoRA of rank 2 at 768 -> 3072 and back, the bias of 3072, both vectors of a norm, and a key and value of 768.
    assert num_parameters("lora", by_role[Role.FFN_IN], 2) == 2 * (768 + 3072)
    assert num_parameters("lora", by_role[Role.FFN_OUT], 2) == 2 * (3072 + 768)
    assert num_parameters("bitfit", by_role[Role.FFN_IN], 1) == 3072
    assert num_parameters("lnfit", by_role[Role.FFN_NORM], 1) == 768
    assert num_parameters("prefix", by_role[Role.VALUE], 4) == 4 * 2 * 768


def test_plan_counts_the_model_that_a_search_would_load(vit_base):
    found = plan(vit_base, budget="0.1%")
    assert found.backbone_parameters == 85_798_656
    assert found.budget_parameters == 85_798
    assert found.sites["encoder query"] == 12
    assert found.notes == ()


@pytest.mark.parametrize("name", [*PICTURE_MODELS, *TINY_PICTURE_MODELS])
def test_structure_finds_attention_and_feed_forward_of_every_layer(name):
    model = (PICTURE_MODELS | TINY_PICTURE_MODELS)[name]()
    sites = find_sites(model)
    for layer in range(2):
        roles = {site.role for site in sites if site.layer == layer}
        assert roles >= LINEAR | NORMS, (name, layer)
    assert find_head(model) == ("classifier",)


def test_a_model_of_pictures_loads_with_a_new_head_and_no_tokenizer(tmp_path):
    folder = str(save_tiny("vit", tmp_path))
    head = TaskHead(PICTURE, 3, "single_label_classification", ("a", "b", "c"))
    first, again, other = (load_task_model(folder, head, seed=seed) for seed in (0, 0, 1))
    assert first.head == ("classifier",)
    assert first.model.config.id2label == {0: "a", 1: "b", 2: "c"}
    pixels = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        logits = [loaded.model.eval()(pixels).logits for loaded in (first, again, other)]
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def test_the_image_processor_is_that_of_the_models_folder(tmp_path):
    folder = save_tiny("vit", tmp_path)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings["image_mean"] = [0.1, 0.2, 0.3]
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    processor = load_processor(str(folder), Medium.PICTURES)
    assert type(processor).__name__ == "ViTImageProcessorPil"
    assert list(getattr(processor, "image_mean")) == [0.1, 0.2, 0.3]  # noqa: B009  transformers types no settings


def test_a_model_without_image_processor_is_refused(tmp_path):
    folder = save_tiny("bert", tmp_path)
    with pytest.raises(ModelError, match=r"has no image processor \(preprocessor_config.json\).*such as a ViT"):
        load_image_processor(str(folder))
    with pytest.raises(ModelError, match="is a .gguf file, which has no image processor"):
        load_image_processor("some.gguf")


def test_an_image_processor_of_an_unknown_type_is_refused(tmp_path):
    folder = save_tiny("vit", tmp_path)
    settings = {"image_processor_type": "CrystalBallImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="Cannot load the model"):
        load_image_processor(str(folder))
