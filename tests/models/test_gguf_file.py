"""Models in a .gguf file: parsed as seldom as can be, with the weights that were written, and quiet where asked."""

import os

import gguf
import pytest
import torch
import transformers
from gguf import GGUFReader, GGUFWriter
from transformers import AutoModelForCausalLM

from peftsearch.models.gguf_file import unpacked
from peftsearch.models.load import load_config, load_task_model, load_tokenizer
from peftsearch.task_head import CAUSAL_LM, SEQUENCE, TaskHead
from peftsearch.testing.tiny_models import CONFIGS, tiny_tokenizer


@pytest.fixture(scope="module")
def model():
    config = CONFIGS["llama"]()
    config.tie_word_embeddings = False
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    """A tiny Llama as llama.cpp's converter writes it."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer, config = GGUFWriter(str(path), "llama"), model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    tokens = sorted(tiny_tokenizer().get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    # A list cannot be empty.
    writer.add_token_list([*(token for token, _ in tokens), "ĠĠ"])
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        shown = names.get_name(name, try_suffixes=(".weight",)) or name
        writer.add_tensor(shown, turned(name, tensor, config).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def turned(name, tensor, config):
    """The rows of queries and keys in the order of GGUF, for its rotations."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next((heads[part] for part in heads if part in name), 0)
    if not count:
        return tensor
    return tensor.reshape(count, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape).contiguous()


@pytest.fixture
def parsed(monkeypatch):
    """Files that are parsed, one by one."""
    found = []
    original = GGUFReader.__init__

    def init(self, path, *args, **kwargs):
        found.append(path)
        original(self, path, *args, **kwargs)

    monkeypatch.setattr(GGUFReader, "__init__", init)
    return found


def test_a_gguf_file_alone_is_marked_as_unpacked():
    packed = {"pretrained_model_name_or_path": "here", "gguf_file": "small.gguf"}
    assert unpacked(packed).pop("quantization_config").dequantize and "quantization_config" not in packed
    assert unpacked({"pretrained_model_name_or_path": "here"}) == {"pretrained_model_name_or_path": "here"}


def test_the_weights_are_those_that_were_written_and_the_file_is_parsed_once(file, model, parsed):
    load_config(file)
    load_tokenizer(file)
    parsed.clear()
    for _ in range(2):
        loaded = load_task_model(file, TaskHead(CAUSAL_LM)).model
        expected = model.state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    assert len(parsed) == 1
    os.utime(file, ns=(0, os.stat(file).st_mtime_ns + 1))
    load_task_model(file, TaskHead(CAUSAL_LM))
    assert len(parsed) > 1
    assert load_config(file) is not load_config(file) and load_tokenizer(file) is not load_tokenizer(file)


def test_a_head_has_the_labels_of_the_task(file):
    head = TaskHead(SEQUENCE, 3, "single_label_classification", ("a", "b", "c"))
    config = load_task_model(file, head).model.config
    assert (config.num_labels, config.id2label) == (3, {0: "a", 1: "b", 2: "c"})
    assert config.problem_type == "single_label_classification" and load_config(file).num_labels == 2


def test_unpacking_shows_no_bar_where_transformers_shows_none(file, capfd):
    was_active = transformers.utils.logging.is_progress_bar_enabled()
    try:
        for is_shown in (True, False):
            (transformers.logging.enable_progress_bar if is_shown else transformers.logging.disable_progress_bar)()
            load_task_model(file, TaskHead(CAUSAL_LM))
            assert ("GGUF tensors" in capfd.readouterr().err) == is_shown
    finally:
        (transformers.logging.enable_progress_bar if was_active else transformers.logging.disable_progress_bar)()
