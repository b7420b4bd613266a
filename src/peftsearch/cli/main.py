"""The command `peftsearch`. Nothing heavy is imported before a command needs it, so that --help is quick."""

import os
import shlex
import signal
import sys
from collections.abc import Sequence

from peftsearch.cli.commands import COMMANDS
from peftsearch.environment import index_launched, refuse_several_processes
from peftsearch.errors import PeftSearchError, UnknownNameError

USAGE = """usage: peftsearch COMMAND ...

Find which PEFT modules to place where, at which rank, within a hard budget of trainable parameters.

commands:
  search     search a configuration within a budget, train it, prove it, save it
  train      train a configuration from a file, or a manual one by name
  compare    compare methods on several tasks within one budget, against uniform LoRA
  evaluate   score a finished run on its test or validation split
  predict    write a run's answers for new rows, which need no labels
  report     write the page of a run or a comparison again
  export     write a run's result as plain LoRA, a merged checkpoint or another tool's format
  push       upload a finished run to the Hugging Face hub
  plan       show sites, space and budget of a model from its configuration alone
  list       list methods, kinds, spaces, tasks, task_formats, families or exports
  doctor     check the installation

Each command has --help. Start with:  peftsearch search --model demo --task demo --budget 0.1% --output runs/demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 on success, 1 if runs of a comparison failed, 2 on an error with a message; when stopped, 128 and the
        signal's number: 130 for Ctrl-C, 143 for SIGTERM, 141 where the reader of the output has gone away.
    """
    try:
        try:
            return _main(argv)
        finally:
            # Now, since at its own exit Python would print a traceback.
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE


def _main(argv: Sequence[str] | None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if argv[0] == "--version":
        from importlib.metadata import version

        print(version("peftsearch"))
        return 0
    try:
        if argv[0] not in COMMANDS:
            raise UnknownNameError("command", argv[0], COMMANDS)
        if argv[0] not in _SHARED:
            refuse_several_processes(f"`peftsearch {argv[0]}`")
        return COMMANDS[argv[0]](argv[1:])
    except PeftSearchError as error:
        # Half of a surrogate pair, out of a file, cannot be printed as it is.
        message = f"{_speaker()}: {error}".encode("utf-8", "backslashreplace").decode("utf-8")
        print(message, file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"{_speaker()}: Out of memory: {error}. Use a smaller model, or a machine with more.", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        hint = f" Go on with:\n  {_resume_command(argv)}" if argv[0] in _RESUMABLE else ""
        print(f"\n{_speaker()}: {str(error) or 'interrupted'}.{hint}", file=sys.stderr)
        return 128 + getattr(error, "number", signal.SIGINT)


def _speaker() -> str:
    """Who says what went wrong: of several processes, the first one has no number."""
    index = index_launched()
    return f"peftsearch (process {index})" if index else "peftsearch"


def _discard_output() -> None:
    """Send to nowhere what is still to be written to standard output and error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _resume_command(argv: Sequence[str]) -> str:
    """The command line that resumes what was interrupted."""
    kept: list[str] = []
    for before, word in zip(["", *argv], argv):
        is_start = word.partition("=")[0] in _STARTS
        is_value_of_start = before in _STARTS and word in ("true", "false")
        kept += [] if is_start or is_value_of_start else [word]
    # `compare` goes on without being told, also where it has not got to its first file.
    resume = [] if argv[0] == "compare" else ["--resume"]
    return shlex.join(["peftsearch", *kept, *resume])


# Flags that say how a run starts; at most one of them can be given.
_STARTS = ("--overwrite", "--resume")
_RESUMABLE = ("search", "train", "compare")
# What several processes of torchrun or `accelerate launch` do together.
_SHARED = ("search", "train")

if __name__ == "__main__":
    sys.exit(main())
