"""What a kernel takes on a CPU, by the roofline (Williams, Waterman, Patterson 2009) and its launch.

Where the machine's peaks were measured these are the rates; else they are typical ones, of which only ratios count.
"""

from __future__ import annotations

import math

from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.cost import Cost
from flextune.workload.work import Work

_CALL_SECS = 5e-7
_WAKING_SECS = 1.5e-6
"""What waking and joining the threads of other cores adds to a call."""

_FLOPS_PER_BIT = 1e11 / 512
"""Operations per second of one core for each bit of its vectors: half of what two multiply-adds a cycle give."""

_BYTES_PER_SEC = 2e10
"""What one core reads from memory; all cores together read little more."""


def cpu_cost(work: Work, target: Target, peaks: Peaks | None) -> Cost:
    """The cost of one kernel that all cores of the target share; by its bytes alone where its dtype has no peak."""
    rate = _FLOPS_PER_BIT * target.vector_bits * target.cores
    if peaks is not None:
        rate = peaks.for_dtype(work.dtype) if peaks.knows(work.dtype) else 0.0
    memory_rate = _BYTES_PER_SEC if peaks is None else peaks.memory_bytes_per_sec
    return Cost(
        compute=work.operations / _filled(work, target) / rate if rate else 0.0,
        memory=work.bytes / memory_rate,
        launch=_CALL_SECS + (_WAKING_SECS if target.cores > 1 else 0.0),
    )


def _filled(work: Work, target: Target) -> float:
    """The share of lanes that do work, 0 to 1."""
    if not work.columns:
        return 1.0
    lanes = target.vector_lanes(32)
    return work.columns / (lanes * math.ceil(work.columns / lanes))
