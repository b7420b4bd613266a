"""Finish a run: put the best seed's result into place, check it there, and write card, page and numbers."""

import shutil
from dataclasses import replace
from pathlib import Path

from peftsearch import processes
from peftsearch.errors import RunFolderError
from peftsearch.files import new_folder, write_json
from peftsearch.report.result_parts import Verified
from peftsearch.report.results import Results
from peftsearch.report.run.error_record import ErrorRecord
from peftsearch.report.run.html import write_page_of
from peftsearch.report.run.model_card import write_card
from peftsearch.report.run.record import collect
from peftsearch.report.verdict import verdict
from peftsearch.run.candidates import Candidate
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.export import export_lora_beside
from peftsearch.run.hub import push_if_asked
from peftsearch.run.proof import Proof
from peftsearch.run.samples import sample_texts
from peftsearch.run.saved_model import SavedModel
from peftsearch.run.threshold import with_threshold
from peftsearch.run.training import start_notes, stop_notes
from peftsearch.run.verify import verify


def finish(config: RunConfig, experiment: Experiment, handed: Candidate, *, results: Results) -> None:
    """Put the best seed's result into place, check it there, then write the card, the page and the results.

    Args:
        config: settings of the run.
        experiment: gives the metric that selects the seed.
        handed: the configuration whose result is put into place.
        results: without the verdict and the check in a new process.

    Raises:
        RunFolderError: if the result is missing.
        TrainingError: if a new process counts or scores it otherwise.
        HubError: if it is to be pushed and the hub refuses.
    """
    folder = Path(config.output_folder)
    trained, saved_as = handed.trained, handed.recipe.saved_as
    best = trained.best(experiment.task.selection_metric)
    source = folder / handed.folder / f"seed-{trained.runs[best].seed}" / saved_as
    if not source.is_dir():
        raise RunFolderError(f"'{source}' is missing. Train again with --overwrite.")
    target = folder / saved_as
    with new_folder(target) as new:
        shutil.copytree(source, new, dirs_exist_ok=True)
    saved = SavedModel.of(experiment, saved_as)
    verified = _verified(saved, folder, trained.proofs[best]) if config.verify else None
    # By one process: it may need the model's own weights, whole.
    refused = processes.from_first(lambda: export_lora_beside(saved, folder), "write lora/")
    without_lora = [f"lora/ was not written. {refused}"] if refused else []
    notes = (*results.notes, *start_notes(folder), *stop_notes(folder), *without_lora)
    results = replace(results, verdict=verdict(results), verified=verified, notes=notes)
    results = with_threshold(results, trained.proofs[best].threshold)
    seed, examples = trained.runs[best].seed, len(experiment.splits.test.examples)
    ErrorRecord(handed.name, seed, examples, trained.proofs[best].errors).write(folder)
    if samples := sample_texts(experiment, saved, folder, of=handed):
        samples.write(folder)
    record = replace(collect(folder), results=results)
    write_card(record, target)
    write_page_of(record)
    # Last: whoever finds it finds everything else.
    write_json(folder / "results.json", results.to_dict())
    push_if_asked(config, folder)


def _verified(saved: SavedModel, folder: Path, proof: Proof) -> Verified:
    """The result as a new process finds it; the first one of several asks for it."""
    return Verified(**processes.from_first(lambda: verify(saved, folder, proof), "learn how the check went"))
