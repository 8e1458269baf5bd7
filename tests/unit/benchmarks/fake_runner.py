"""A runner that measures nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from flextune.platforms.null.kernel import null_secs
from flextune.trial.measurement import Candidate, Measurement, Status


class FakeRunner:
    """The null platform's times, each a little longer than the last one; stops as if by Ctrl-C after `patience`."""

    def __init__(self, patience: int | None = None) -> None:
        self.measured: list[Candidate] = []
        self.compared: list[list[Candidate]] = []
        self._patience = patience

    def measure(
        self, candidates: Sequence[Candidate], incumbent_secs: float = math.inf, secs: float = math.inf
    ) -> Iterator[Measurement]:
        for candidate in candidates:
            if self._patience is not None and len(self.measured) >= self._patience:
                raise KeyboardInterrupt
            self.measured.append(candidate)
            secs = null_secs(candidate.assignment) * (1 + 1e-6 * len(self.measured))
            yield Measurement(candidate.assignment, Status.OK, (secs, secs), build_secs=0.1, elapsed_secs=0.15)

    def compare(self, candidates: Sequence[Candidate], rounds: int, secs: float = math.inf) -> list[Measurement]:
        self.compared.append(list(candidates))
        return [Measurement(each.assignment, Status.OK, (null_secs(each.assignment),) * rounds) for each in candidates]
