"""A runner that measures nothing: times follow from the assignment, failures from a rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from flextune.csp import Assignment
from flextune.database.database import Database
from flextune.database.store import open_database
from flextune.platforms import platform_registry
from flextune.platforms.null.kernel import null_secs
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.trial.record import Provenance
from flextune.tuning.events import Callback
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.tuning_run import TuningRun

TARGET = Target.parse("null:cpu=none,cores=1")


class FakeRunner:
    """Answers with `secs(assignment)`; a candidate for which that is None fails. Keeps what it was asked."""

    def __init__(self, secs: Callable[[Assignment], float | None] = null_secs) -> None:
        self.secs = secs
        self.measured: list[Candidate] = []
        self.compared: list[list[Candidate]] = []
        self.interrupt_after: int | None = None

    def measure(
        self, candidates: Sequence[Candidate], incumbent_secs: float = math.inf, secs: float = math.inf
    ) -> Iterator[Measurement]:
        for candidate in candidates:
            if self.interrupt_after is not None and len(self.measured) >= self.interrupt_after:
                raise KeyboardInterrupt
            self.measured.append(candidate)
            yield self.outcome(candidate, 3)

    def compare(self, candidates: Sequence[Candidate], rounds: int, secs: float = math.inf) -> list[Measurement]:
        self.compared.append(list(candidates))
        return [self.outcome(candidate, rounds) for candidate in candidates]

    def outcome(self, candidate: Candidate, repeats: int) -> Measurement:
        """What measuring this candidate gives."""
        secs = self.secs(candidate.assignment)
        if secs is None:
            return Measurement(candidate.assignment, Status.RUN_ERROR, error="killed by signal 11")
        return Measurement(candidate.assignment, Status.OK, (secs,) * repeats)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "records.db") as opened:
        yield opened


@pytest.fixture
def start(database: Database) -> Callable[..., TuningRun]:
    """Starts a run over the null platform's space with a runner of the test's choice."""

    def make(runner: FakeRunner, options: TuneOptions, *callbacks: Callback) -> TuningRun:
        provenance = Provenance("protocol", "flextune=test", options.seed, options.strategy, "host")
        return TuningRun(runner, platform_registry.get("null"), TARGET, database, options, provenance, callbacks)

    return make
