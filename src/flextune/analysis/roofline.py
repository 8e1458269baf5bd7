"""The least time that a program can take on a machine, by its operations and its bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from flextune.target import kinds
from flextune.target.peaks import Peaks
from flextune.target.target import Target


@dataclass(frozen=True, slots=True)
class Roofline:
    """Bounds in seconds (Williams, Waterman, Patterson 2009).

    `limited_by` is `compute` or `memory`. `fits` names the smallest cache that holds all parameters (`l1`, `l2`: per
    core, times the cores of the target; `l3`), or `memory`. A program that runs again finds them there, so its bytes
    are counted at the measured rate of that level. `ridge_intensity` is the number of operations per byte above which
    programs are limited by compute.
    """

    bound_secs: float
    """The larger one of both bounds."""
    limited_by: str
    compute_secs: float
    """The operations at their peak rate."""
    memory_secs: float
    """The bytes at the rate of the level that holds them."""
    peak_flops: float
    """That rate, of the program's type, a second."""
    ridge_intensity: float
    fits: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Traffic(Protocol):
    """What moves through memory and of which type; `ProgramAnalysis` and `Work` have it."""

    @property
    def bytes(self) -> float: ...
    @property
    def dtype(self) -> str: ...


class Bounds(Protocol):
    """Seconds that computing and moving the data take at the machine's peaks; `flextune.trial.cost.Cost` has them."""

    @property
    def compute(self) -> float: ...
    @property
    def memory(self) -> float: ...


def roofline(traffic: Traffic, target: Target, peaks: Peaks, cost: Bounds) -> Roofline:
    """What the platform's estimate for the program at `peaks` says; a program without operations is limited by memory.

    UsageError where no peak was measured for its dtype.
    """
    peak, compute, fits = peaks.for_dtype(traffic.dtype), cost.compute, _smallest_cache(traffic.bytes, target)
    rate = peaks.bytes_per_sec(fits)
    memory = cost.memory * peaks.memory_bytes_per_sec / rate
    return Roofline(
        bound_secs=max(compute, memory),
        limited_by="compute" if compute > memory else "memory",
        compute_secs=compute,
        memory_secs=memory,
        peak_flops=peak,
        ridge_intensity=peak / rate,
        fits=fits,
    )


def _smallest_cache(data_bytes: float, target: Target) -> str:
    caches = kinds.get(target.kind).caches(target)
    sizes = ((cache.name, cache.size_bytes * (target.cores if cache.per_core else 1)) for cache in caches)
    return next((name for name, size in sizes if data_bytes <= size), "memory")
