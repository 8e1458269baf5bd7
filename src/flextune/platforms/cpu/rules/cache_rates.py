"""At which rate a core loads what it uses again and again, for estimates of schedules that nobody has measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flextune.platforms.cpu.limits import CpuLimits

Floats = npt.NDArray[np.float64]

L1_BYTES_PER_CYCLE, L2_BYTES_PER_CYCLE, L3_BYTES_PER_CYCLE = 64.0, 24.0, 8.0


def load_rate(limits: CpuLimits, reused_bytes: Floats, l2_share: float = 0.5) -> Floats:
    """Bytes a cycle from the smallest cache that holds so many bytes with others beside them.

    Half of L1 is for what is reused, and `l2_share` of L2.
    """
    outer = np.where(reused_bytes <= limits.l2_bytes * l2_share, L2_BYTES_PER_CYCLE, L3_BYTES_PER_CYCLE)
    return np.where(reused_bytes <= limits.l1_bytes / 2, L1_BYTES_PER_CYCLE, outer)
