"""Download peft's source distribution, unpack it, and run its tests; see the package's docstring."""

import os
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "peft-suite"
FILES = (
    "test_custom_models",
    "test_decoder_models",
    "test_encoder_decoder_models",
    "test_feature_extraction_models",
    "test_seq_classifier",
)
# What peft's tests import beyond its requirements, in a folder of its own so that our environment stays as it is.
EXTRA = ("diffusers==0.42.1", "importlib_metadata==10.2.0", "zipp==4.1.2", "parameterized==0.9.0")


@dataclass(frozen=True)
class Result:
    """What one test file gave."""

    file: str
    passed: int
    skipped: int
    expected_failures: int
    failed: int
    seconds: float


def main(arguments: list[str]) -> int:
    """Run one test file by name with arguments for pytest, or all of them; 1 if a test failed."""
    source, extra, hub = _fetch_peft(), _install_extra(), FOLDER / "cache"
    _make_models(hub)
    files, options = (arguments[:1], arguments[1:]) if arguments else (FILES, [])
    results = [_run(file, source=source, extra=extra, hub=hub, options=options) for file in files]
    print(f"\npeft {version('peft')}\n\n" + _table(results))
    return 1 if any(result.failed or not result.passed for result in results) else 0


def _fetch_peft() -> Path:
    """The unpacked source distribution of the installed version."""
    name = f"peft-{version('peft')}"
    if not (FOLDER / name / "tests").is_dir():
        target = FOLDER / "download"
        _pip("download", "--no-deps", "--no-binary", "peft", f"peft=={version('peft')}", "--dest", str(target))
        with tarfile.open(target / f"{name}.tar.gz") as archive:
            archive.extractall(FOLDER, filter="data")
        # The files import each other relatively, and the distribution has no conftest.py that would say how.
        (FOLDER / name / "tests" / "__init__.py").touch()
    return FOLDER / name


def _install_extra() -> Path:
    target = FOLDER / "extra"
    if not target.is_dir():
        _pip("install", "--no-deps", "--target", str(target), *EXTRA)
    return target


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def _make_models(hub: Path) -> None:
    from peft_suite.hub import make_models

    make_models(hub)


def _run(file: str, *, source: Path, extra: Path, hub: Path, options: list[str]) -> Result:
    """Run a test file with the models in the cache of the hub."""
    report = FOLDER / f"{file}.xml"
    paths = [str(ROOT / "src"), str(ROOT / "tests"), str(extra), str(source)]
    # A proxy that no one serves: what would ask the hub all the same fails at once.
    offline = {"HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={source}", "-p", "peft_suite.plugin"]
    command += ["-p", "no:cacheprovider", "-W", "ignore", "-q", "--tb=short", "-rfE", f"--junit-xml={report}"]
    report.unlink(missing_ok=True)
    start = time.monotonic()
    subprocess.run(
        [*command, str(source / "tests" / f"{file}.py"), *options],
        cwd=FOLDER,
        env=os.environ | offline | {"HF_HUB_CACHE": str(hub)} | {"PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )
    return _read(file, report, time.monotonic() - start)


def _read(file: str, report: Path, seconds: float) -> Result:
    suite = ElementTree.parse(report).getroot().find("testsuite")
    failed = int(suite.get("failures")) + int(suite.get("errors"))
    skips = [element.get("type") for element in suite.iter("skipped")]
    expected = skips.count("pytest.xfail")
    passed = int(suite.get("tests")) - failed - len(skips)
    return Result(file, passed, len(skips) - expected, expected, failed, seconds)


def _table(results: list[Result]) -> str:
    rows = [
        f"| `{r.file}` | {r.passed} | {r.skipped} | {r.expected_failures} | {r.failed} | {r.seconds:.0f} |"
        for r in results
    ]
    return "\n".join(["| file | passed | skipped | expected failures | failed | seconds |", "|" + "---|" * 6, *rows])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
