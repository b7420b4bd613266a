"""README.md of a saved adapter: peft writes an empty template there, which this file replaces or repairs.

peft also rewrites `tags` and `base_model` of a card that it finds. So a card carries them a second time, in a comment
of its body, from which they are restored whenever the adapter is saved into the same folder again.
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
    """The metadata of a card that peft rewrites.

    Args:
        base_model: hub id of the pretrained model; None if it lies on a disk.
        tags: of the card, the one that names the base model not among them.
    """

    base_model: str | None
    tags: tuple[str, ...]

    @property
    def all_tags(self) -> list[str]:
        """Every tag of the card."""
        return [*self.tags, *([f"base_model:adapter:{self.base_model}"] if self.base_model else [])]

    @property
    def mark(self) -> str:
        """A comment for the card's body that holds all of this."""
        text = json.dumps(asdict(self))
        return "<!-- peftsearch " + text.replace("<", "\\u003c").replace(">", "\\u003e") + " -->"

    @classmethod
    def of_card(cls, text: str) -> "Origin | None":
        """Read a card's mark; None for a card that is not ours."""
        found = _MARK.search(text)
        if found is None:
            return None
        document = json.loads(found[1])
        return cls(document["base_model"], tuple(document["tags"]))


def escape(value: object) -> str:
    """Any text as one line of Markdown that shows it as it is, whatever it holds."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(value).split()).replace("&", "&amp;"))


def rewrite_card(folder: Path, sites: dict[str, dict[str, int]], base_model: str | None) -> None:
    """Put a card that tells how to load the adapter in the place of peft's empty one, or repair ours.

    A card that somebody else wrote stays, and where there is none, none is made.

    Args:
        sites: exact module name -> kind -> rank.
        base_model: as in `adapter_config.json`: a hub id, a folder, or None.
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
    card.data.base_model = origin.base_model
    card.data.tags = origin.all_tags
    save_card(card, path)


def make_card(data: ModelCardData, body: str) -> ModelCard:
    """A card of metadata and body."""
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}")


def save_card(card: ModelCard, path: Path) -> None:
    """Write a card, whatever wrote it, with one line break at its end."""
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
