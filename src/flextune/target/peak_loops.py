"""Loops that reach a machine's peaks, as `flextune.target.peak_measurement` runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Loop = Callable[[int, int], object]
"""`loop(address, trips)`; it lets the interpreter's other threads run."""


@dataclass(frozen=True, slots=True)
class PeakLoop:
    """One compiled loop over `memory_bytes` at its address, which every core has of its own.

    A trip does `work_per_trip` operations on registers; or, if it `streams`, reads that many bytes, going forward.
    """

    call: Loop
    work_per_trip: int
    memory_bytes: int
    streams: bool = False


@dataclass(frozen=True, slots=True)
class PeakLoops:
    """The loops of one family, by what they multiply; `bfloat16` is None where float32's is the best for it."""

    float32: PeakLoop
    int8: PeakLoop
    read: PeakLoop
    bfloat16: PeakLoop | None = None
