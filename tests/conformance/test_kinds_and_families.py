"""Every registered kind on a tiny model of every family."""

from picture_models import PICTURE_MODELS
from text_families import tiny_config

from peftsearch.models.discover import find_sites
from peftsearch.models.family import family_of
from peftsearch.modules.peft_module import KINDS
from peftsearch.testing import TINY, TINY_PICTURE_MODELS, FamilyTests, build

# Read by structure: a layer that is shared, fused maps with a norm missing, layers of two sorts with experts, and an
# encoder-decoder that computes its attention itself.
BY_STRUCTURE = {
    name: (lambda name=name: build(tiny_config(name))) for name in ("albert", "modernbert", "jamba", "prophetnet")
}


class TestKindsAndFamilies(FamilyTests):
    models = TINY | BY_STRUCTURE | TINY_PICTURE_MODELS | PICTURE_MODELS


def test_only_what_acts_in_an_attention_that_is_closed_fits_no_site():
    models = {name: make() for name, make in TINY.items()}
    closed = {name for name, m in models.items() if (f := family_of(m.config.model_type)) and not f.attention_is_open}
    nowhere = {(n, k) for n, m in models.items() for k in KINDS if not any(map(KINDS[k].fits, find_sites(m)))}
    assert nowhere == {(name, kind) for name in closed for kind in KINDS if KINDS[kind].acts_in_attention}
