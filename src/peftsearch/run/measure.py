"""Load a saved result, count it and score it on the validation split: what `verification` runs in a new process.

The run folder is the argument and a `SavedRun` comes as JSON on standard input; the last line of standard output is
the answer as JSON.
"""

import json
import sys
from pathlib import Path

from peftsearch.run.config import read_config
from peftsearch.run.train import SavedRun, score
from peftsearch.run.workspace import Workspace


def main() -> None:
    """Measure the result in the folder that the command line names."""
    folder = Path(sys.argv[1])
    model, parameters = SavedRun(**json.load(sys.stdin)).load(folder)
    workspace = Workspace.open(read_config(folder / "config.yaml"))
    validation = score(workspace, model, workspace.validation, workspace.config.training)
    print(json.dumps({"parameters": parameters, "validation": validation}))


if __name__ == "__main__":
    main()
