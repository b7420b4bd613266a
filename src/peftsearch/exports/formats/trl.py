"""The found configuration as a script that trains it with TRL."""

from pathlib import Path

from peftsearch.exports.export_format import ExportFormat, register_format
from peftsearch.exports.source import Source
from peftsearch.exports.trainable import Tool, Trainable, notes_on_training, read_trainable
from peftsearch.exports.trl.script import TRL, write_readme, write_script

_RUN = f"Train it with: python train.py in that folder, with trl {TRL}; its README.md says more."


def write(source: Source, folder: Path) -> tuple[str, ...]:
    """Write `train.py` and how to run it.

    Raises:
        ExportError: naming the sites that peft's LoraConfig cannot hold, or if the run is not of a causal language
            model.
    """
    found = read_trainable(source, _TRL)
    notes = (_RUN, *notes_on_training(found))
    (folder / "train.py").write_text(write_script(found), encoding="utf-8")
    (folder / "README.md").write_text(write_readme(notes[1:]), encoding="utf-8")
    return notes


def _why_not(found: Trainable) -> list[str]:
    """Say why peft cannot hold the biases: it has one at every LoRA or at none."""
    updates = found.form.updates
    biased = [path for path, update in updates.items() if update.bias is not None]
    if not biased or (len(biased) == len(updates) and found.ranks[0] > 0):
        return []
    return [
        f"peft trains a bias at every LoRA or at none, and there is bitfit at {len(biased)} of {len(updates)} layers, "
        f"such as {biased[0]} (search --space lora finds none)"
    ]


_TRL = Tool("TRL", "a script for TRL", _why_not)
register_format(ExportFormat("trl", "a script that trains the found configuration with TRL's SFTTrainer", write))
