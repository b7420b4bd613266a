"""A plain transformers checkpoint with the adapter folded into the weights."""

from pathlib import Path

import transformers
from torch import nn

from peftsearch.exports.export_format import Claim, ExportFormat, register_format
from peftsearch.exports.refusal import reasons_against, refuse
from peftsearch.exports.source import Source
from peftsearch.modules.peft_module import PeftModule, is_plain


def write(source: Source, folder: Path) -> tuple[str, ...]:
    """Merge the adapter and save the model, with its tokenizer or image processor if there is one.

    Raises:
        ExportError: naming the sites and kinds that cannot be merged.
    """
    model = source.base
    if source.has_adapter:
        refuse(
            "a merged checkpoint",
            reasons_against(source, why_not_merged),
            instead="Export it as lora if that is possible; a quantised model must be given in full with --model.",
        )
        source.peft_model.merge_and_unload()
    model.save_pretrained(str(folder))
    processor = source.load_tokenizer()
    if processor is None:
        return ("The model has no tokenizer or image processor, so none was saved.",)
    processor.save_pretrained(str(folder))
    return ()


def why_not_merged(module: PeftModule, base_layer: nn.Module) -> str | None:
    """Say why a module cannot be folded into its layer's own parameters; None if it can."""
    if not is_plain(base_layer):
        return "the layer's weight is quantised"
    return module.unmergeable_reason(base_layer)


def reload(source: Source, folder: Path) -> nn.Module:
    """Load the checkpoint with transformers alone."""
    architectures = transformers.AutoConfig.from_pretrained(folder).architectures
    assert architectures
    model_class = getattr(transformers, architectures[0])
    return model_class.from_pretrained(folder)


register_format(
    ExportFormat(
        "merged",
        "plain transformers checkpoint, with the tokenizer or image processor",
        write,
        reload,
        Claim("mergeable", why_not_merged),
    )
)
