"""Where a run was started and with which model: by this it is continued where its files have moved."""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from peftsearch.errors import DataError, ModelError, RunFolderError
from peftsearch.files import write_json
from peftsearch.models.fingerprint import fingerprint
from peftsearch.run.config import RunConfig
from peftsearch.run.folder import read_json
from peftsearch.tasks.user_tables import data_files

logger = logging.getLogger(__name__)

ORIGIN = "origin.json"


@dataclass(frozen=True)
class Origin:
    """The record `origin.json`.

    Args:
        directory: the working directory, from which relative paths count.
        model: the pretrained model as the user named it.
        model_sha256: fingerprint of its files; None for a hub id.
    """

    directory: str
    model: str
    model_sha256: str | None

    @classmethod
    def here(cls, model: str) -> "Origin":
        """The origin of a run that is started now."""
        return cls(str(Path.cwd()), model, fingerprint(model))

    def save(self, run: Path) -> None:
        """Write the record into a run folder."""
        write_json(run / ORIGIN, asdict(self))


def read_origin(run: Path) -> Origin | None:
    """Read the record of a run; None for a run of an earlier version, which wrote none.

    Raises:
        RunFolderError: if it cannot be read.
    """
    if not (run / ORIGIN).exists():
        return None
    document = read_json(run / ORIGIN)
    try:
        return Origin(**document)
    except TypeError as error:
        raise RunFolderError(f"Cannot read '{run / ORIGIN}': {error}.") from error


@dataclass(frozen=True)
class Places:
    """Where model and data of a run are now; empty for what is where the run says.

    Args:
        model: the pretrained model.
        data: files or a hub id, as for a run.
        data_dir: folder of GLUE and SuperGLUE, as for a run.
    """

    model: str = ""
    data: str = ""
    data_dir: str = ""

    def move(self, run: Path, config: RunConfig) -> RunConfig:
        """Change the settings of a run to these places.

        Args:
            run: the run folder.
            config: its settings.

        Raises:
            DataError: if data is not where the run says, and none is given.
        """
        given = {name: place for name, place in asdict(self).items() if place}
        origin = read_origin(run)
        for path in (config.data_dir, *data_files(config.data)):
            if path and origin and not given.keys() & {"data", "data_dir"} and not Path(path).expanduser().exists():
                raise DataError(
                    f"The data of '{run}' is not there: {_describe(path, origin)}. Say where it is with --data."
                )
        return replace(config, **given)


AS_NOTED = Places()


def choose_model(run: Path, *, noted: str, given: str = "") -> str:
    """Choose the pretrained model of a run: the one that is given, or else the one that the run was made with.

    Args:
        run: the run folder.
        noted: the model by the run's own name.
        given: by the user; "" for none.

    Raises:
        ModelError: if neither is there, saying from where the run's own counts.
    """
    origin, name = read_origin(run), given or noted
    if origin is None or origin.model_sha256 is None:
        return name
    now = fingerprint(name)
    if now is None and not given:
        raise ModelError(
            f"The model of '{run}' is not there: {_describe(noted, origin)}. Say where it is with --model."
        )
    if now not in (None, origin.model_sha256):
        logger.warning("The model '%s' has other files than the one that '%s' was made with (%s).", name, run, noted)
    return name


def is_made_with(run: Path, model: str) -> bool:
    """Tell whether a run was made with a model, as far as its record says; without one it counts as made with it."""
    origin = read_origin(run)
    if origin is None:
        return True
    now, then = fingerprint(model), origin.model_sha256
    if now is None and then is None:
        return model == origin.model
    # Of a copy of a model on the hub in a folder nothing is known.
    return now is None or then is None or now == then


def check_same_model(run: Path, model: str) -> None:
    """Refuse to resume a run with a model of other files.

    Raises:
        RunFolderError: if they differ.
    """
    origin = read_origin(run)
    if origin is None or origin.model_sha256 is None:
        return
    if fingerprint(model) != origin.model_sha256:
        raise RunFolderError(
            f"The model '{model}' has other files than the one that the run in '{run}' was started with: "
            f"{_describe(origin.model, origin)}. Resume with the same model, or start anew with --overwrite or "
            "another --output."
        )


def _describe(path: str, origin: Origin) -> str:
    if Path(path).is_absolute():
        return f"the run was made from '{path}'"
    return f"the run was made from the relative path '{path}' in '{origin.directory}'"
