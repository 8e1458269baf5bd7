"""flextune on one model as a user runs it: `flextune tune`, then `flextune compile`, each a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.model_peers.call import FLOAT32, ModelJob
from benchmarks.model_peers.own import DEFAULT_FILE, TUNED_FILE
from benchmarks.peers.process import PeerError, environment, run_program

_PRECISION_NAMES = {"bfloat16": "bf16"}
_COMPILE_TIMEOUT_SECS = 600.0
_TUNING_TIMEOUT_FACTOR = 2.0
"""Of the minutes given, before a run that does not keep to them is ended; `_COMPILE_TIMEOUT_SECS` come on top."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What tuning a model took: `secs` from the start of `flextune tune` to its end, and its trials."""

    secs: float
    trials: int


def tune_and_compile(job: ModelJob, minutes: float, database: Path) -> Tuning:
    """Leaves the library that `flextune compile` writes after so many minutes of tuning in the job's folder.

    With 0 minutes there is no tuning: the records that the database holds already are all. Raises `PeerError`.
    """
    tuning = Tuning(0.0, 0)
    if minutes > 0:
        timeout_secs = _TUNING_TIMEOUT_FACTOR * 60 * minutes + _COMPILE_TIMEOUT_SECS
        arguments = ["tune", job.file, "--minutes", f"{minutes:g}", "--db", str(database), "--json"]
        lines, secs = _flextune(job, [*arguments, *_precision(job)], "tune", timeout_secs)
        tuning = Tuning(secs, int(json.loads("\n".join(lines)).get("trials", 0)))
    _compile(job, TUNED_FILE, database)
    return tuning


def compile_default(job: ModelJob) -> None:
    """Leaves the library that needs no tuning in the job's folder. Raises `PeerError`."""
    _compile(job, DEFAULT_FILE, None)


def attempted(step: Callable[[], Tuning | None], job: ModelJob, library: str) -> Tuning | None:
    """The step's result; where it fails, the reason is left beside the library's place for the peer to give."""
    try:
        return step()
    except PeerError as error:
        (job.path / library).with_suffix(".failed").write_text(str(error))
        return None


def _compile(job: ModelJob, library: str, database: Path | None) -> None:
    """Without a database, or one that is not there, every part of the model gets its default schedule."""
    given = [] if database is None or not database.exists() else ["--db", str(database)]
    arguments = ["compile", job.file, "-o", str(job.path / library), *given, *_precision(job)]
    _flextune(job, arguments, Path(library).stem, _COMPILE_TIMEOUT_SECS)


def _precision(job: ModelJob) -> list[str]:
    if job.precision == FLOAT32:
        return []
    return ["--precision", _PRECISION_NAMES[job.precision]]


def _flextune(job: ModelJob, arguments: list[str], stem: str, timeout_secs: float) -> tuple[list[str], float]:
    """Away from any records file of the user's own."""
    surroundings: Mapping[str, str] = {
        **environment(job.threads, without_torch=False),
        "FLEXTUNE_DB": os.fspath(job.path / "none.db"),
    }
    return run_program([sys.executable, "-m", "flextune", *arguments], job.path / stem, surroundings, timeout_secs)
