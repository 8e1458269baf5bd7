"""Times of decisions, as they are read from JSON."""

from __future__ import annotations

import math


def seconds(value: object) -> float:
    """A time; ValueError for what is none."""
    secs = float(str(value))
    if not math.isfinite(secs) or secs < 0:
        raise ValueError(f"seconds expected, got {value}")
    return secs


def seconds_if_any(value: object) -> float | None:
    """A time, or none where nothing was timed."""
    return None if value is None else seconds(value)
