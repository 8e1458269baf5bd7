"""How much a tuning run may spend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from flextune.errors import UsageError


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a run; the first one reached ends it.

    `trials` counts recorded trials of the same key too: `--trials 64` means 64 trials known, however many runs it took.
    `minutes` is wall clock from the start of the run, the final comparison included. `patience_trials` ends a task
    after so many trials without a better one.
    """

    trials: int | None = None
    minutes: float | None = None
    patience_trials: int | None = None

    def __post_init__(self) -> None:
        if self.trials is None and self.minutes is None:
            raise UsageError("a budget needs trials or minutes")
        for name, kind in (("trials", Integral), ("minutes", Real), ("patience_trials", Integral)):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, kind) or isinstance(value, bool):
                wanted = "a whole number" if kind is Integral else "a number"
                raise UsageError(f"{name.replace('_', ' ')} must be {wanted}, got {value!r:.80}")
            if not 0 < float(value) < math.inf:
                raise UsageError(f"{name.replace('_', ' ')} must be positive, got {value}")

    def trials_left(self, trials: int) -> int:
        """How many more trials may be measured when `trials` are known; very many without a limit."""
        return 2**31 if self.trials is None else max(0, self.trials - trials)

    def secs_left(self, elapsed_secs: float) -> float:
        """Seconds left after `elapsed_secs`; infinity without a limit."""
        return math.inf if self.minutes is None else self.minutes * 60 - elapsed_secs

    def out_of_patience(self, trials_without_gain: int) -> bool:
        return self.patience_trials is not None and trials_without_gain >= self.patience_trials
