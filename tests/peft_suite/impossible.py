"""Tests of peft's that must fail on our tuner.

They merge an adapter, and merging is refused where the result would be another model: one list for the structures that
never merge, one for a bias that has no place in some models. docs/peft.md gives the same reasons.
"""

import re

import pytest

# Tests that merge, whatever else they check.
MERGING = re.compile(
    r"test_merge_layers|test_safe_merge|test_forward_b?float16|test_disable_adapters_with_merging|test_delete_merged"
)
NEVER_MERGED = {
    "serial adapter": "a non-linear bottleneck is no weight",
    "low-rank adapter": "a non-linear bottleneck is no weight",
    "adapters": "a non-linear bottleneck is no weight",
    "prefix+lnfit": "a prefix is no weight",
}
WITHOUT_BIAS = re.compile("T5|Llama|Gemma3")
WITHOUT_ATTENTION_INTERFACE = re.compile("DebertaV2")


def reason_for(item: pytest.Item, structure: str) -> str | None:
    """Why a test must fail with a structure; None for one that must pass."""
    if not MERGING.match(item.originalname):
        return None
    model = item.callspec.params.get("model_id", "")
    if structure == "lora+bitfit+lnfit" and WITHOUT_BIAS.search(model):
        return "a trained bias has no place in a layer without one"
    if structure == "prefix+lnfit" and WITHOUT_ATTENTION_INTERFACE.search(model):
        return None  # LNFit alone, since prefixes fit nowhere
    return NEVER_MERGED.get(structure)
