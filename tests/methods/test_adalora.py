import pytest
import torch
from peft import PeftModel
from transformers import TrainerControl, TrainerState

from peftsearch.errors import BudgetError, ConfigurationError, TrainingError
from peftsearch.methods.adalora.method import (
    AllocateRanks,
    RankAllocation,
    RankSchedule,
    attach_adalora,
    attention_sites,
    read_ranks,
    triplet_cost,
)
from peftsearch.methods.adalora.settings import AdaLoraSettings
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.space import Role
from peftsearch.testing.tiny_models import TINY

# peft takes empty ranks for broken files.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Adapter '.*' LoRA tensor"),
    pytest.mark.filterwarnings("ignore:The following rank_pattern keys"),
]
SETTINGS = AdaLoraSettings()


def trained(family: str, allocation: RankAllocation, steps: int = 10):
    """A model trained for a few steps with our callback, as the trainer calls it."""
    schedule = RankSchedule.of(SETTINGS, steps)
    model = attach_adalora(TINY[family](), allocation, schedule=schedule, settings=SETTINGS)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    ids = torch.randint(6, 200, (8, 7))
    labels = ids if model.config.is_encoder_decoder else torch.randint(0, 2, (8,))
    callback = AllocateRanks(schedule, model)
    for step in range(steps):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        callback.on_optimizer_step(None, TrainerState(global_step=step), TrainerControl())
    return model


@pytest.mark.parametrize("family", ["bert", "t5", "llama", "gpt2", "deberta-v2"])
@pytest.mark.parametrize("ranks", [1, 6])
def test_the_reloaded_adapter_has_the_ranks_of_the_budget_and_the_same_outputs(family, ranks, tmp_path):
    torch.manual_seed(1)
    sites = attention_sites(find_sites(TINY[family]()))
    budget = (ranks + 1) * triplet_cost(sites[0]) - 1
    torch.manual_seed(1)
    model = trained(family, RankAllocation.within(sites, budget)).eval()
    model.save_pretrained(tmp_path)
    torch.manual_seed(1)
    reloaded = PeftModel.from_pretrained(TINY[family](), tmp_path).eval()
    assert count_peft_parameters(reloaded) == ranks * triplet_cost(sites[0])  # the largest number within the budget
    ids = torch.randint(6, 200, (3, 5))
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})
    # Float32 sums over the ranks left instead of over all of them.
    torch.testing.assert_close(reloaded(**inputs).logits, model(**inputs).logits, atol=1e-4, rtol=1e-4)
    assert sum(choice.rank for choice in read_ranks(tmp_path, sites)) == ranks


def test_the_default_sites_are_attentions_of_one_size():
    assert {s.role for s in attention_sites(find_sites(TINY["bert"]()))} == {
        Role.QUERY,
        Role.KEY,
        Role.VALUE,
        Role.ATTENTION_OUTPUT,
    }
    # Grouped queries: query and output are wider than key and value.
    assert {s.role for s in attention_sites(find_sites(TINY["llama"]()))} == {Role.QUERY, Role.ATTENTION_OUTPUT}


def test_sites_of_unequal_size_are_bounded_by_the_largest():
    sites = [s for s in find_sites(TINY["bert"]()) if s.role in {Role.QUERY, Role.FFN_IN}]
    allocation = RankAllocation.within(sites, 500)
    assert allocation.total_rank == 500 // (32 + 64 + 1)
    assert allocation.num_parameters <= 500


@pytest.mark.parametrize("total", [1, 3, 8, 13, 64])
def test_there_are_more_ranks_at_the_start_than_at_the_end(total):
    sites = attention_sites(find_sites(TINY["bert"]()))
    allocation = RankAllocation(tuple(sites), total)
    assert allocation.initial_rank * len(sites) > total
    assert allocation.initial_rank >= 1.5 * total / len(sites)


@pytest.mark.parametrize("steps", [3, 4, 7, 12, 1000])
@pytest.mark.parametrize("shares", [(0, 0), (0.1, 0.3), (0.5, 0.9)])
def test_every_schedule_scores_ranks_before_it_settles(steps, shares):
    schedule = RankSchedule.of(AdaLoraSettings(warmup=shares[0], final=shares[1]), steps)
    assert 0 <= schedule.warmup < schedule.select_after_step < steps
    assert schedule.select_after_step >= 2


def test_too_few_steps_and_too_small_budgets_are_refused():
    sites = attention_sites(find_sites(TINY["bert"]()))
    with pytest.raises(TrainingError, match="needs 3 optimizer steps or more, but 2"):
        RankSchedule.of(SETTINGS, 2)
    with pytest.raises(BudgetError, match="One rank of AdaLoRA has 65 parameters, but the budget is 64"):
        RankAllocation.within(sites, 64)


def test_a_norm_is_refused():
    norms = [s for s in find_sites(TINY["bert"]()) if s.role is Role.FFN_NORM]
    with pytest.raises(ConfigurationError, match="linear maps only, but 'encoder.0.ffn_norm'"):
        attach_adalora(
            TINY["bert"](), RankAllocation.of_mean(norms, 1), schedule=RankSchedule.of(SETTINGS, 9), settings=SETTINGS
        )


def test_a_training_of_another_length_is_refused():
    with pytest.raises(TrainingError, match="planned for 10 steps, but the training has 20"):
        AllocateRanks(RankSchedule.of(SETTINGS, 10), model=None).on_train_begin(
            None, TrainerState(max_steps=20), TrainerControl()
        )
