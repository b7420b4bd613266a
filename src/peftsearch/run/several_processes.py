"""One run in several processes: the first writes its folder, each other one has a folder of its own that is deleted.

So every process finds on the disk what it has done itself, and none has to wait for another to write.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from peftsearch import launcher, processes
from peftsearch.errors import TrainingError
from peftsearch.run.config import RunConfig
from peftsearch.run.folder import LOCK, bring_folder
from peftsearch.training.micro_batches import is_out_of_memory


@contextmanager
def shared_by_processes(config: RunConfig) -> Iterator[RunConfig]:
    """Give this process its settings in a run that it shares with those that a launcher has started beside it.

    The batch is that of all processes together, as if one had it: with so many examples on each, two processes take
    the steps that one takes with twice as many.

    Args:
        config: settings as given, the same in every process.

    Yields:
        the same settings in a process that is alone.

    Raises:
        ProcessError: if another process ends before its time.
        TrainingError: if memory runs out in one of several processes, other than in a pass that is tried again.
        ConfigurationError: if the launcher asks for DeepSpeed or Megatron.
        SettingError: if it asks for FSDP and the model is quantised or mapped.
        StorageError, RunFolderError: if the folder cannot be brought from its mirror.
    """
    if launcher.take_over_fsdp():
        config = replace(config, shard_model=True)
    with processes.joined(config.training.ddp_timeout, shard_model=config.shard_model):
        batch_size = config.training.per_device_train_batch_size * processes.num_processes()
        if processes.is_first():
            bring_folder(config.copy, overwrite=config.overwrite)
        config = replace(config, training=replace(config.training, per_device_train_batch_size=batch_size))
        with _own_folder(config) as own, processes.passes_explained(), _memory_explained(own):
            yield own
        processes.wait_for_all("end the run together")


@contextmanager
def _memory_explained(config: RunConfig) -> Iterator[None]:
    """Say in words that memory ran out while one of several processes loaded, evaluated or fitted a head."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if processes.num_processes() == 1 or not is_out_of_memory(error):
            raise
        size = config.training.per_device_eval_batch_size
        raise TrainingError(
            f"Out of memory in process {processes.index()} of {processes.num_processes()} outside of a training step, "
            f"where a model is loaded or evaluated ({size} examples a pass). The others end too, and what has been "
            "saved is whole. Start anew with a lower --training.per_device_eval_batch_size or --max_seq_length. With "
            "--shard_model true each of more processes holds less of the model, and --resume goes on there with the "
            f"same sum of --per_device_train_batch_size ({config.training.per_device_train_batch_size})."
        ) from error


@contextmanager
def _own_folder(config: RunConfig) -> Iterator[RunConfig]:
    folder = Path(config.output_folder)
    # Where nothing is to be resumed, the first one may delete what is there.
    names = _names_in(folder) if config.resume and processes.is_first() else []
    names = processes.from_first(lambda: names, "learn what the run's folder holds")
    if processes.is_first():
        for name in names:
            processes.bytes_of_first((folder / name).read_bytes(), f"send '{name}'")
        yield config
        return
    logging.getLogger("peftsearch").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="peftsearch-") as place:
        own = Path(place) / folder.name
        for name in names:
            (own / name).parent.mkdir(parents=True, exist_ok=True)
            (own / name).write_bytes(processes.bytes_of_first(b"", f"get '{name}' of the first one"))
        training = replace(config.training, report_to="none")
        yield replace(config, output=str(own), mirror="", overwrite=False, push_to_hub=False, training=training)


def _names_in(folder: Path) -> list[str]:
    """Names of the files of a run, below its folder."""
    files = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [path.as_posix() for path in files if path.name != LOCK]
