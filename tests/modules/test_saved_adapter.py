"""Saving an adapter says nothing, wherever the pretrained model came from."""

import warnings

from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.modules.saved_adapter import save_adapter
from peftsearch.space import Choice, Configuration
from peftsearch.testing.tiny_models import TINY_DECODERS


def test_a_model_without_a_configuration_beside_it_is_saved_without_a_warning(tmp_path):
    model = TINY_DECODERS["llama"]()
    attached = attach(model, Configuration.of([Choice("decoder.0.query", "lora", 2)]), sites=find_sites(model))
    attached.peft_config["default"].base_model_name_or_path = str(tmp_path)  # of a .gguf file
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_adapter(attached, tmp_path / "adapter")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
