"""The model card (README.md) of a saved adapter.

peft writes an empty template, which a card of ours replaces. When peft finds a card, it overwrites `tags` and
`base_model`; so our cards hold both a second time, in a comment of the body, and they are restored from there when an
adapter is saved into the same folder again.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from peftsearch.files import write_text
from peftsearch.hub_id import hub_id

CARD = "README.md"
_PEFTS_TITLE = "# Model Card for Model ID"
_MARK = re.compile(r"<!-- peftsearch (\{.*\}) -->")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~!$])")


@dataclass(frozen=True)
class Origin:
    """The metadata of a card that peft overwrites.

    Args:
        base_model: hub id of the pretrained model; None for a model on disk.
        tags: tags of the card, without the one that names the base model.
    """

    base_model: str | None
    tags: tuple[str, ...]

    @property
    def all_tags(self) -> list[str]:
        """All tags of the card, the one that names the base model last."""
        return [*self.tags, *([f"base_model:adapter:{self.base_model}"] if self.base_model else [])]

    @property
    def mark(self) -> str:
        """A comment for the card's body that holds this metadata."""
        text = json.dumps(asdict(self))
        return "<!-- peftsearch " + text.replace("<", "\\u003c").replace(">", "\\u003e") + " -->"

    @classmethod
    def of_card(cls, text: str) -> "Origin | None":
        """Read the metadata from a card's text; None for a card that is not ours."""
        found = _MARK.search(text)
        if found is None:
            return None
        document = json.loads(found[1])
        return cls(document["base_model"], tuple(document["tags"]))


def escape(value: object) -> str:
    """Escape any text so that one line of Markdown shows it unchanged."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(value).split()).replace("&", "&amp;"))


def rewrite_card(folder: Path, sites: dict[str, dict[str, int]], base_model: str | None) -> None:
    """Replace peft's empty card by one that tells how to load the adapter, or restore the metadata of ours.

    A card that somebody else wrote is left alone, and a folder without a card gets none.

    Args:
        folder: the adapter's.
        sites: exact module name -> kind -> rank.
        base_model: hub id or folder, as in `adapter_config.json`; may be None.
    """
    path = folder / CARD
    if not path.is_file():
        return
    card = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    origin = Origin.of_card(card.text)
    if origin is None and _PEFTS_TITLE not in card.text:
        return
    if origin is None:
        kinds = sorted({kind for ranks in sites.values() for kind in ranks})
        origin = Origin(hub_id(base_model), ("peftsearch", *kinds))
        card = make_card(ModelCardData(library_name="peft"), _body(sites, origin))
    card.data["base_model"] = origin.base_model
    card.data["tags"] = origin.all_tags
    save_card(card, path)


def make_card(data: ModelCardData, body: str) -> ModelCard:
    """Make a card from its metadata and its body in Markdown."""
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}")


def save_card(card: ModelCard, path: Path) -> None:
    """Write a card to a file that ends in exactly one line break."""
    write_text(path, str(card).rstrip() + "\n")


def _body(sites: dict[str, dict[str, int]], origin: Origin) -> str:
    base = f"`{origin.base_model}`" if origin.base_model else "the pretrained model"
    rows = [f"| {escape(path)} | {', '.join(_kinds(ranks))} |" for path, ranks in sorted(sites.items())]
    return _TEMPLATE.format(mark=origin.mark, base=base, rows="\n".join(rows))


def _kinds(ranks: dict[str, int]) -> list[str]:
    return [f"{escape(kind)} {rank}" for kind, rank in sorted(ranks.items())]


_TEMPLATE = """{mark}
# A peftsearch adapter

An adapter with a different set of PEFT modules at each place of the model. It needs the package peftsearch:

```bash
pip install peftsearch
```

```python
import peftsearch  # teaches peft the type PEFTSEARCH
from peft import PeftModel

model = PeftModel.from_pretrained(base, "path/to/this/folder")
```

Here `base` is {base}, loaded with transformers.

## Modules

| place | kinds and ranks |
|---|---|
{rows}
"""
