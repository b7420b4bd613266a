"""A plain peft LoRA adapter, for all tools that load one."""

from pathlib import Path

from peftsearch.exports.export_format import Claim, ExportFormat, register_format
from peftsearch.exports.lora.files import reload_lora, write_lora
from peftsearch.exports.lora.form import read_lora_form, why_not_lora
from peftsearch.exports.source import Source


def write(source: Source, folder: Path) -> tuple[str, ...]:
    """Write the adapter as LoRA with a rank for each site; norms and the task head are saved in full.

    Raises:
        ExportError: naming the sites and kinds that prevent it.
    """
    write_lora(source, read_lora_form(source), folder)
    return ()


register_format(
    ExportFormat(
        "lora",
        "plain peft LoRA with rank patterns; norms and head saved in full",
        write,
        reload_lora,
        Claim("plain LoRA", why_not_lora),
    )
)
