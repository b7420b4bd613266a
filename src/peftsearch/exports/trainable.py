"""What a tool for language models needs to train a found configuration, or the reasons why it cannot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch.errors import ExportError
from peftsearch.exports.lora.form import LoraForm, read_lora_only
from peftsearch.exports.recorded_training import RecordedTraining
from peftsearch.exports.refusal import refuse
from peftsearch.exports.source import Source
from peftsearch.models.location import location_of
from peftsearch.task_head import CAUSAL_LM
from peftsearch.tasks.tables import AS_USUAL

# The column of chats whose messages have the keys "from" and "value", by the habit of its makers.
SHAREGPT = "conversations"
NOTE_ON_SHAREGPT = "It takes the messages in the column conversations to have the keys from and value."
_TRAINED_THERE = "causal language models (CAUSAL_LM)"


@dataclass(frozen=True)
class Trainable:
    """A configuration of LoRA, and whole norms, that a tool can train anew.

    Args:
        form: the modules and their ranks.
        training: data and settings.
        model: folder or hub id of the pretrained model; an absolute path if it is on this machine.
        gguf_file: name of the file in that folder; empty for a model in transformers' own form.
    """

    form: LoraForm
    training: RecordedTraining
    model: str
    gguf_file: str

    @property
    def ranks(self) -> list[int]:
        """The different ranks, ascending."""
        return sorted({update.rank for update in self.form.updates.values()})


@dataclass(frozen=True)
class Tool:
    """A tool that trains language models.

    Args:
        name: as it writes itself.
        what: what is exported for it, such as "axolotl settings".
        why_not: says what else of a configuration and its training it cannot hold.
    """

    name: str
    what: str
    why_not: Callable[[Trainable], Sequence[str]]


def read_trainable(source: Source, tool: Tool) -> Trainable:
    """Read what a tool needs to train a configuration anew.

    Raises:
        ExportError: for a task that the tool does not train as such, for an adapter without its run, and with the
            sites and settings that it cannot hold.
    """
    training = _require_training(source, tool)
    form = read_lora_only(source, what=tool.what)
    refuse(tool.what, _reasons_at_norms(source, form, tool), instead="Export the trained adapter as lora instead.")
    location = location_of(source.name)
    found = Trainable(
        form,
        training,
        absolute(location["pretrained_model_name_or_path"]),
        location.get("gguf_file", ""),
    )
    if reasons := tool.why_not(found):
        raise ExportError(f"This run cannot become {tool.what}: {'; '.join(reasons)}.")
    return found


def suffix_of(place: str) -> str:
    """The extension of a file in lower case, with .gz if it is compressed."""
    return "".join(Path(place).suffixes[-2:] if place.lower().endswith(".gz") else [Path(place).suffix]).lower()


def absolute(place: str) -> str:
    """A path of this machine as an absolute one; a hub id as it is."""
    path = Path(place).expanduser()
    return str(path.resolve()) if path.exists() else place


def _require_training(source: Source, tool: Tool) -> RecordedTraining:
    task_type = source.peft_model.peft_config[source.adapter].task_type if source.has_adapter else CAUSAL_LM
    if task_type != CAUSAL_LM:
        raise ExportError(
            f"This run cannot become {tool.what}: its task is {task_type or 'of no type that peft names'}, and "
            f"{tool.name} trains {_TRAINED_THERE}. For other tasks there are lora, servable, merged and adapters."
        )
    training = source.load_training()
    if training is None:
        raise ExportError(
            f"This adapter cannot become {tool.what}: it does not say on which data, and with which settings, it was "
            "trained. Give the folder of its run."
        )
    return training


def _reasons_at_norms(source: Source, form: LoraForm, tool: Tool) -> dict[str, str]:
    return {
        path: f"a norm of which {tool.name} would train both weight and bias"
        for path, layer in source.layers()
        if path in form.norms and len(layer.modules_of(source.adapter)) < len(form.norms[path])
    }


def reasons_at_biases(found: Trainable, tool: str) -> list[str]:
    """Say which biases are in the way of a tool that trains none; nothing where there are none."""
    biased = [path for path, update in found.form.updates.items() if update.bias is not None]
    if not biased:
        return []
    shown = f"{', '.join(biased[:3])}{f' and {len(biased) - 3} more' if len(biased) > 3 else ''}"
    return [f"{tool} trains no single biases, and there is bitfit at {shown} (search --space lora finds none)"]


def whole_modules(form: LoraForm) -> list[str]:
    """The modules that are trained and saved in full: norms."""
    return sorted([*form.norms, *form.head])


def token_indices(form: LoraForm) -> dict[str, list[int]]:
    """The rows of tokens that are trained, as peft's `trainable_token_indices`."""
    return {path: rows.indices for path, rows in form.rows.items()}


def settings_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without those that have no value."""
    return {name: value for name, value in arguments.items() if value not in (None, "", [], {})}


def notes_on_training(found: Trainable) -> tuple[str, ...]:
    """Say what of the run's training does not travel; sentences of ours without a word of the user's."""
    settings = found.training.settings
    notes = ["It trains on all rows of the training data, and starts from fresh modules."]
    if not found.training.is_evaluated:
        notes.append(
            "The run drew its validation and test rows from that data: they are trained on now, so score the result "
            "on others. Nothing is evaluated meanwhile, and the last weights are kept."
        )
    if settings.average_last:
        notes.append("The weights of the last steps are not averaged (training.average_last).")
    if settings.early_stopping and not found.training.is_evaluated:
        notes.append("It does not stop early (training.early_stopping), for lack of a validation file.")
    return tuple(notes)


def reasons_at_own_rates(found: Trainable, tool: str) -> list[str]:
    """Refuse LoRA+ beside norms, which peft's optimizer of it trains at the rate of LoRA's B."""
    ratio = found.training.settings.lora_b_rate
    if ratio == 1 or not whole_modules(found.form):
        return []
    return [
        f"with training.lora_b_rate {ratio:g} {tool} trains norms at the rate of LoRA's B too (--format trl does not)"
    ]


def plain_files_only(found: Trainable, tool: str, suffixes: Sequence[str]) -> list[str]:
    """Say what is in the way of a tool that reads models and files only as they usually are.

    Args:
        found: the configuration, its data and its settings.
        tool: its name.
        suffixes: of files that it reads.
    """
    data, reasons = found.training.data, []
    if found.gguf_file:
        reasons.append(
            f"{tool} trains no .gguf file: save the model with transformers, and give its folder with --model"
        )
    files = [] if data.is_on_hub else [place for place in (data.train, data.validation) if place]
    others = sorted({suffix_of(place) for place in files} - set(suffixes))
    if others:
        reasons.append(
            f"{tool} reads {', '.join(suffixes)}, and the data is {', '.join(others)}: convert it to .jsonl"
        )
    if data.reading != AS_USUAL:
        reasons.append(f"{tool} reads files in UTF-8 with commas: convert the data to .jsonl")
    if data.leaves_out:
        reasons.append(f"{tool} has no drop_missing: leave out the rows without a text")
    return reasons
