"""A measured space as if it were a device: its recorded times in place of measurements, on a clock of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flextune.errors import UsageError
from flextune.trial.measurement import Measurement, Status
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
