"""Processes of one run: alone, each function gives what one process has; run/test_several_processes.py has two."""

import os

import pytest
import torch

from peftsearch import launcher, processes, random_draws
from peftsearch.environment import alone, count_launched, index_launched
from peftsearch.errors import ConfigurationError, ProcessError


def test_alone_nothing_is_sent_and_nothing_changes():
    with processes.joined(1):
        tensors = [torch.ones(2), torch.ones(3, dtype=torch.long)]
        processes.add_up(tensors)
        processes.average(tensors[:1])
        processes.share(tensors)
        assert [tensor.tolist() for tensor in tensors] == [[1, 1], [1, 1, 1]]
        assert (processes.num_processes(), processes.index(), processes.is_first()) == (1, 0, True)
        assert processes.own_slice([1, 2, 3]) == [1, 2, 3] and processes.gather([1]) == [[1]]
        assert (processes.total(3), processes.largest(-1)) == (3, -1)
        assert processes.from_first(lambda: (1, 2), "test") == (1, 2)
        processes.require_equal("nothing", object)
        processes.wait_for_all("end the test")


def test_alone_the_random_numbers_are_those_of_before():
    state = torch.get_rng_state()
    random_draws.draw_alike()
    random_draws.draw_apart()
    assert torch.equal(torch.get_rng_state(), state)


def test_the_launcher_is_known_by_its_variables_and_forgotten_for_a_process_of_our_own(monkeypatch):
    assert (count_launched(), index_launched()) == (1, 0)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "here"}.items():
        monkeypatch.setenv(name, value)
    assert (count_launched(), index_launched()) == (2, 1)
    assert set(os.environ) - set(alone()) >= {"WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR"}
    assert alone()["PATH"] == os.environ["PATH"]


def test_another_one_that_ends_within_a_pass_is_told_of_in_words(monkeypatch):
    lost = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    with pytest.raises(RuntimeError, match="closed by peer"), processes.passes_explained():
        raise lost
    monkeypatch.setattr(processes, "num_processes", lambda: 2)
    words = "could not get the other parts of the model.*--resume"
    with pytest.raises(ProcessError, match=words), processes.passes_explained():
        raise lost
    with pytest.raises(RuntimeError, match="shapes"), processes.passes_explained():
        raise RuntimeError("shapes differ")


def test_fsdp_of_the_launcher_is_taken_over_and_switched_off(monkeypatch):
    monkeypatch.setattr(launcher._Launch, "took_fsdp", False)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert not launcher.take_over_fsdp()  # alone nothing is shared out
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launcher.take_over_fsdp() and os.environ["ACCELERATE_USE_FSDP"] == "false"
    assert launcher.take_over_fsdp()  # and is still known
    launcher.refuse_sharding()


@pytest.mark.parametrize("variable", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM"])
def test_a_launcher_that_cuts_the_model_into_parts_is_refused(variable, monkeypatch):
    monkeypatch.setenv(variable, "true")
    launcher.refuse_sharding()  # alone nothing is cut
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigurationError, match="cuts modules into parts"), processes.joined(1):
        pass
