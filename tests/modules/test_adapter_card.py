"""The README that stays in an adapter's folder, whatever peft writes there."""

import peft
import pytest
from huggingface_hub import ModelCard, ModelCardData
from peft import PeftModel

from peftsearch.models.discover import find_sites
from peftsearch.modules.adapter_card import Origin, make_card, save_card
from peftsearch.modules.attach import attach
from peftsearch.space import Choice, Configuration
from peftsearch.testing.tiny_models import TINY


@pytest.fixture
def adapted() -> PeftModel:
    model = TINY["bert"]()
    choices = [Choice("encoder.0.query", "lora", 2), Choice("encoder.1.ffn_norm", "lnfit")]
    return attach(model, Configuration.of(choices), sites=find_sites(model), head=("classifier",), task_type="SEQ_CLS")


def test_saving_an_adapter_leaves_a_card_that_tells_how_to_load_it(adapted, tmp_path):
    adapted.save_pretrained(str(tmp_path))
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.tags == ["peftsearch", "lnfit", "lora"] and card.data.library_name == "peft"
    assert "pip install peftsearch" in card.text and "import peftsearch" in card.text
    assert "| bert.encoder.layer.0.attention.self.query | lora 2 |" in card.text
    assert "[More Information Needed]" not in card.text


def test_a_card_of_ours_survives_saving_into_its_folder_again(adapted, tmp_path):
    origin = Origin("acme/bert", ("peftsearch", "bipeft", "lora"))
    data = ModelCardData(base_model="acme/bert", library_name="peft", tags=origin.all_tags, license="mit")
    body = f"{origin.mark}\n# Mine\n\n### Framework versions\n\n- PEFT {peft.__version__}\n"
    save_card(make_card(data, body), tmp_path / "README.md")
    before = (tmp_path / "README.md").read_bytes()
    adapted.save_pretrained(str(tmp_path))
    assert (tmp_path / "README.md").read_bytes() == before


def test_a_card_that_somebody_wrote_keeps_its_words(adapted, tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# My films\n")
    adapted.save_pretrained(str(tmp_path))
    card = ModelCard.load(tmp_path / "README.md")
    assert card.text.strip().startswith("# My films") and card.data.license == "mit"


def test_the_path_of_a_local_base_model_is_not_published(adapted, tmp_path):
    adapted.base_model.model.config._name_or_path = adapted.base_model.model.name_or_path = str(tmp_path)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    assert str(tmp_path) not in (tmp_path / "adapter" / "README.md").read_text()


def test_a_mark_reads_back_and_cannot_end_its_comment():
    origin = Origin(None, ("-->", "<b>"))
    assert origin.mark.count("-->") == 1 and Origin.of_card(f"text\n{origin.mark}\n") == origin
