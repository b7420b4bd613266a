"""Pictures go through the model's own image processor, and the losses of their classes are those of texts."""

import math

import pytest
import torch
from PIL import Image
from shades import write_shades
from transformers import ConvNextImageProcessorPil, ViTConfig
from transformers.utils import ModelOutput

from peftsearch.errors import DataError, ModelError
from peftsearch.task_head import PICTURE
from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.picture_inputs import check_takes_pictures, make_pixels
from peftsearch.testing import TINY_PICTURE_MODELS, build, tiny_image_processor


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return load_task(TaskRequest(data=str(write_shades(tmp_path_factory.mktemp("data") / "shades", count=30))))


def format_for(task, **options):
    return make_task_format(task, tokenizer=tiny_image_processor(), is_encoder_decoder=False, max_length=0, **options)


def test_shades_from_0_to_255_become_numbers_from_minus_1_to_1():
    # (shade / 255 - 0.5) / 0.5
    for shade, value in ((0, -1.0), (51, -0.6), (255, 1.0)):
        pixels = make_pixels(tiny_image_processor(), Image.new("L", (5, 3), shade).convert("RGB"))
        torch.testing.assert_close(pixels, torch.full((3, 8, 8), value))


def test_a_picture_three_pixels_high_keeps_its_channels():
    pixels = make_pixels(tiny_image_processor(), Image.new("RGB", (8, 3), (255, 0, 51)))
    assert pixels[:, 4, 4].tolist() == pytest.approx([1.0, -1.0, -0.6])


def test_a_batch_holds_the_pictures_and_their_classes(task):
    task_format = format_for(task)
    encoded = task_format.encode(task.splits["train"][:5])
    batch = task_format.collate([encoded[i] for i in range(5)])
    assert batch["pixel_values"].shape == (5, 3, 8, 8)
    assert batch["labels"].tolist() == [int(example.number) for example in task.splits["train"][:5]]
    # Light pictures are above grey, which is 0.
    assert (batch["pixel_values"].mean((1, 2, 3)) > 0).long().tolist() == batch["labels"].tolist()


def test_the_head_has_an_output_for_each_class_and_no_name_in_peft(task):
    head = format_for(task).head
    assert (head.task_type, head.num_labels, head.labels, head.peft_task) == (PICTURE, 2, ("dark", "light"), None)


def test_losses_are_negative_log_likelihoods_times_the_weights_of_the_classes(task):
    task_format = format_for(task, class_weights=(3.0, 0.5))
    logits, labels = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]]), torch.tensor([0, 1])
    losses = task_format.row_losses(ModelOutput(logits=logits), {"labels": labels})
    assert losses.tolist() == pytest.approx([3 * math.log(2), 0.5 * math.log(4)])
    own = (math.log(2) + math.log(4)) / 2
    outputs = ModelOutput(loss=torch.tensor(own), logits=logits)
    assert float(task_format.mean_loss(outputs, {"labels": labels})) == pytest.approx(float(losses.mean()))


def test_guessing_knows_the_shares_of_the_training_classes(task):
    # One is added to each count: 4/5 and 1/5.
    assert format_for(task).guess_losses([0, 0, 0], [0, 1]) == pytest.approx([-math.log(4 / 5), -math.log(1 / 5)])


def test_predictions_are_probabilities_of_the_models_own_logits(task):
    model, task_format = TINY_PICTURE_MODELS["vit"]().eval(), format_for(task)
    encoded = task_format.encode(task.splits["test"])
    batch = task_format.collate([encoded[i] for i in range(len(encoded))])
    with torch.no_grad():
        expected = model(batch["pixel_values"]).logits.double().softmax(-1)
        found = task_format.predict(model, batch)
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected)


def test_models_that_write_texts_are_refused(task):
    with pytest.raises(DataError, match="encoder-decoder model writes texts"):
        make_task_format(task, tokenizer=tiny_image_processor(), is_encoder_decoder=True, max_length=0)


def on_meta(config):
    with torch.device("meta"):
        return build(config)


@pytest.mark.parametrize("changes", [{"image_size": 16}, {"num_channels": 1}])
def test_a_model_of_another_size_is_refused_before_any_training(changes):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 8, "patch_size": 4}
    with pytest.raises(ModelError, match="'small' does not take .* 3 x 8 x 8 "):
        check_takes_pictures("small", on_meta(ViTConfig(**{**sizes, **changes})), tiny_image_processor())
    check_takes_pictures("small", on_meta(ViTConfig(**sizes)), tiny_image_processor())


def test_a_model_that_reads_no_pixels_or_hides_its_head_is_refused():
    from transformers import CLIPConfig, CLIPForImageClassification, ImageGPTConfig, ImageGPTForImageClassification

    with torch.device("meta"):
        clip = CLIPForImageClassification(CLIPConfig())
        tokens = ImageGPTForImageClassification(ImageGPTConfig(n_embd=8, n_layer=1, n_head=1))
    with pytest.raises(ModelError, match="CLIPForImageClassification, whose head cannot be told"):
        check_takes_pictures("clip", clip, tiny_image_processor())
    with pytest.raises(ModelError, match="does not take pictures as pixel_values"):
        check_takes_pictures("igpt", tokens, tiny_image_processor())


def test_an_image_processor_that_fails_is_named():
    broken = ConvNextImageProcessorPil(size={"shortest_edge": 8}, image_mean=[0.5, 0.5])
    with pytest.raises(ModelError, match="The image processor of 'vit' fails on a picture"):
        check_takes_pictures("vit", TINY_PICTURE_MODELS["vit"](), broken)
