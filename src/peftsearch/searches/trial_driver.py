"""The loop of every black-box method: it asks for proposals, scores and records them, and resumes from the record."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from peftsearch import processes
from peftsearch.errors import DivergedError, PeftSearchError, ProcessError, RunFolderError, StorageError, TrainingError
from peftsearch.files import append_row, cut_rows, flush, read_rows
from peftsearch.searches.trials import Fidelity, Proposal, Proposer, Trial
from peftsearch.space import Choice, Configuration, SearchSpace
from peftsearch.training import stop_signals
from peftsearch.training.progress import Progress, open_progress

logger = logging.getLogger(__name__)

# Scores the n-th trial (from 0) in the selecting metric on the validation split; larger is better, see `Metric.merit`.
Scorer = Callable[[Proposal, int], float]


def run_trials(proposer: Proposer, *, score: Scorer, space: SearchSpace, record: Path) -> list[Trial]:
    """Run a black-box method to its end.

    A failed trial is recorded with its reason, and the search goes on; in several processes only if it has failed in
    all of them. A proposal equal to an earlier one gets the
    earlier score. Trials in the record of an interrupted run are not repeated.

    Args:
        proposer: the method.
        score: trains and scores a proposal.
        space: gives the number of parameters of each configuration.
        record: file of JSON lines, one for each trial, written after each.

    Returns:
        all trials, in the order of their proposals.

    Raises:
        RunFolderError: if the record is of another search.
        TrainingError: if every trial failed.
    """
    earlier = _read(record)
    trials: list[Trial] = []
    with closing(open_progress("trials", unit="trial")) as progress:
        while batch := proposer.propose(trials):
            done: list[Trial] = []
            for proposal in batch:
                number = len(trials) + len(done)
                if number < len(earlier):
                    done.append(_checked(earlier[number], proposal, record))
                else:
                    processes.require_equal(f"the proposal of trial {number}", _plain(proposal))
                    done.append(_serve(proposal, [*trials, *done], score=score, number=number, space=space))
                    _append(record, number, done[-1])
                    stop_signals.stop_if_asked()
                _show(progress, done[-1])
            trials += done
    if trials and all(trial.score is None for trial in trials):
        raise TrainingError(f"All {len(trials)} trials of the search failed. The first: {trials[0].error}")
    return trials


def _serve(proposal: Proposal, trials: Sequence[Trial], *, score: Scorer, number: int, space: SearchSpace) -> Trial:
    """Score a proposal, or reuse the score of an equal one."""
    for trial in trials:
        if trial.proposal == proposal:
            return Trial(proposal, trial.parameters, trial.score, 0.0, trial.error)
    parameters, started = space.cost(proposal.configuration), time.perf_counter()
    try:
        value = float(score(proposal, number))
        if not math.isfinite(value):
            raise DivergedError(f"The score is {value}, not a finite number.")
    except (StorageError, ProcessError):  # the next trial could not be recorded or trained either
        raise
    except Exception as error:  # whatever breaks one training must not end the search
        # Losses and scores are the same in all processes; anything else may have left the others within the training.
        if processes.num_processes() > 1 and not isinstance(error, DivergedError):
            raise
        # The traceback of what is no error of ours: it may be one of the program.
        logger.warning("Trial %d failed: %s", number, error, exc_info=not isinstance(error, PeftSearchError))
        reason = f"{type(error).__name__}: {error}"
        return Trial(proposal, parameters, None, time.perf_counter() - started, reason)
    return Trial(proposal, parameters, value, time.perf_counter() - started)


def _checked(trial: Trial, proposal: Proposal, record: Path) -> Trial:
    if trial.proposal != proposal:
        raise RunFolderError(
            f"'{record}' holds trials that this search would not have made; perhaps another version wrote it. "
            "Start anew with --overwrite."
        )
    return trial


def _show(progress: Progress, trial: Trial) -> None:
    shown = "failed" if trial.score is None else f"{trial.score:.4g}"
    progress.show({"score": shown, "size": f"{trial.parameters:,}"})
    progress.update()


def _append(record: Path, number: int, trial: Trial) -> None:
    append_row(record, to_row(number, trial))
    flush(record)


def to_row(number: int, trial: Trial) -> dict[str, Any]:
    """Convert a trial to plain data for JSON.

    Args:
        number: of the trial in its search, from 0.
        trial: the trial.
    """
    return {
        "trial": number,
        "parameters": trial.parameters,
        "score": trial.score,
        "seconds": trial.seconds,
        "error": trial.error,
        **_plain(trial.proposal),
    }


def _plain(proposal: Proposal) -> dict[str, Any]:
    fidelity = proposal.fidelity
    return {
        "share": fidelity.share,
        "epochs": fidelity.epochs,
        "choices": [[choice.site, choice.kind, choice.rank] for choice in proposal.configuration],
    }


def _read(record: Path) -> list[Trial]:
    """Read the trials of a record, and remove a last row that was cut off by a kill from the file."""
    cut_rows(record)
    return [_trial(row) for row in read_rows(record)]


def _trial(row: Mapping[str, Any]) -> Trial:
    proposal = Proposal(configuration_of(row), Fidelity(row["share"], row["epochs"]))
    return Trial(proposal, row["parameters"], row["score"], row["seconds"], row["error"])


def configuration_of(row: Mapping[str, Any]) -> Configuration:
    """Read the configuration of a row of `to_row`."""
    return Configuration.of(Choice(*choice) for choice in row["choices"])
