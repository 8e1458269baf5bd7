"""What was measured before in place of a device, on a clock of its own: spaces of others, and records of our own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice

import numpy as np

from flextune.errors import UsageError
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.trial.record import TuningRecord
from flextune.trial.tabular import TabularSpace

_UNREADABLE = "not a configuration of the space {name!r}: {values}"


class ReplayDevice:
    """Answers with what was recorded; `clock_secs` is how long the real device would have taken so far.

    Each answer costs what the file says: compiling and benchmarking, failures included. Its time is the mean of all
    recorded repeats; with `draws` of 1 or more it is the mean of so many of them, drawn with replacement, which is as
    noisy as a short measurement is.
    """

    def __init__(self, space: TabularSpace, *, draws: int = 0, rng: np.random.Generator | None = None) -> None:
        if draws < 0 or (draws and rng is None):
            raise UsageError(f"draws must not be negative, and need a generator; got {draws}")
        self.space = space
        self.clock_secs = 0.0
        self._draws = draws
        self._rng = rng

    def measure(self, assignments: Sequence[Mapping[str, int]]) -> list[Measurement]:
        """One measurement per assignment, in order. `UsageError` for one that is not in the space."""
        return [self._answer(self._row(assignment)) for assignment in assignments]

    def _answer(self, row: int) -> Measurement:
        self.clock_secs += self.space.charged_secs[row].item()
        trial = self.space.trials[row]
        if not self._draws or self._rng is None or trial.status is not Status.OK:
            return self.space.measurement(row)
        drawn = self._rng.choice(np.array(trial.run_secs), self._draws)
        return self.space.measurement(row, (float(drawn.mean()),))

    def _row(self, assignment: Mapping[str, int]) -> int:
        row = self.space.row_of.get(assignment)  # type: ignore[call-overload]
        if row is None:
            raise UsageError(_UNREADABLE.format(name=self.space.name, values=assignment))
        return int(row)


class ReplayRunner:
    """A `Runner` that answers with records of the same candidates; of several the latest counts.

    A candidate that was never measured fails: with `run_error`, and a text that says so. `clock_secs` is how long the
    machine of the records took for all that was asked so far.
    """

    def __init__(self, records: Iterable[TuningRecord]) -> None:
        self._recorded = {record.key: record for record in records if not record.of_objective}
        self.clock_secs = 0.0

    def measure(
        self, candidates: Sequence[Candidate], incumbent_secs: float = math.inf, secs: float = math.inf
    ) -> Iterator[Measurement]:
        """See `Runner.measure`. All recorded repeats are given, whatever the incumbent is."""
        del incumbent_secs, secs
        for candidate in candidates:
            measurement = self._recalled(candidate)
            self.clock_secs += measurement.elapsed_secs
            yield measurement

    def compare(self, candidates: Sequence[Candidate], rounds: int, secs: float = math.inf) -> list[Measurement]:
        """See `Runner.compare`. The recorded repeats, from the first again when there are more rounds."""
        del secs
        recalled = [self._recalled(candidate) for candidate in candidates]
        self.clock_secs += sum(sum(measurement.run_secs) for measurement in recalled)
        return [replace(each, run_secs=tuple(islice(cycle(each.run_secs), rounds))) for each in recalled]

    def _recalled(self, candidate: Candidate) -> Measurement:
        record = self._recorded.get(candidate.key)
        if record is not None:
            return record.measurement
        error = f"never measured: there is no record of {candidate.assignment} for {candidate.workload}"
        return Measurement(candidate.assignment, Status.RUN_ERROR, error=error)
