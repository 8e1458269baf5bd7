"""Times as what a model learns: logarithms, of variance one, in which the slow half does not drown the fast one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.surrogate.covariance import Array

_LEAST_SECS = 1e-12


@dataclass(frozen=True, slots=True)
class LogTarget:
    """`(log(min(secs, cap)) − offset) / scale`. Failures are infinite times, so they count as the cap.

    What is slower than the cap is bad enough: how bad is not worth a model's effort, and would blur what it says about
    the fast ones.
    """

    cap_secs: float = 1.0
    offset: float = 0.0
    scale: float = 1.0

    @classmethod
    def fitted(cls, secs: Array, quantile: float) -> LogTarget:
        """Capped at a quantile of the finite times; standardised over all."""
        finite = secs[np.isfinite(secs)]
        if not len(finite):
            return cls()
        cap = max(float(np.quantile(finite, quantile)), _LEAST_SECS)
        logs = np.log(np.clip(secs, _LEAST_SECS, cap))
        spread = float(logs.std())
        return cls(cap, float(logs.mean()), spread if spread > 1e-9 else 1.0)

    def of(self, secs: Array) -> Array:
        """Lower is better; of the shape of `secs`, and finite."""
        result: Array = (np.log(np.clip(secs, _LEAST_SECS, self.cap_secs)) - self.offset) / self.scale
        return result
