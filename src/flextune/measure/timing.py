"""The timing protocol as a pure function of a timer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

from flextune.measure.measure_options import MeasureOptions

Timer = Callable[[int, int], tuple[float, ...]]
"""`timer(number, repeats)` -> seconds per call of each repeat."""

MOST_CALLS = 100_000


def timed_secs(timer: Timer, options: MeasureOptions, incumbent_secs: float) -> tuple[float, ...]:
    """Raw seconds per call, one value per repeat; see `MeasureOptions` for the protocol.

    All repeats together take at most about half of `run_timeout_secs`: a long-running program gets fewer repeats.
    """
    estimate = timer(1, 1)[0]
    if estimate > 2 * options.slow_factor * incumbent_secs:
        return (estimate,)
    number = options.number or calls_per_repeat(estimate, options.min_repeat_secs)
    times = (estimate,) if number == 1 else timer(number, 1)
    most = max(1, int(options.run_timeout_secs / 2 / (times[0] * number)))
    repeats = min(options.repeats_of(times[0] * number), most)
    while not _is_slow(times, options, incumbent_secs) and len(times) < repeats:
        times = _extended(timer, times, number, len(times) + 1)
    if len(times) < repeats:
        return times
    if _barely_wins(times, options, incumbent_secs):
        times = _extended(timer, times, number, min(2 * repeats, most))
    return times


def _is_slow(times: tuple[float, ...], options: MeasureOptions, incumbent_secs: float) -> bool:
    """Whether even the fastest repeat is behind the incumbent by a factor that shrinks with their number."""
    factor: float = options.slow_factor ** (1 / len(times))
    return min(times) > factor * incumbent_secs


def _barely_wins(times: tuple[float, ...], options: MeasureOptions, incumbent_secs: float) -> bool:
    """Whether the incumbent would go by what may be luck: the next candidates are then held against that luck."""
    gain_secs = incumbent_secs - statistics.median(times)
    return 0 <= gain_secs <= options.noise * incumbent_secs < math.inf


def calls_per_repeat(secs: float, min_repeat_secs: float) -> int:
    """The least number of calls of `secs` that lasts `min_repeat_secs`, between 1 and `MOST_CALLS`."""
    return min(MOST_CALLS, max(1, math.ceil(min_repeat_secs / max(secs, 1e-9))))


def _extended(timer: Timer, times: tuple[float, ...], number: int, repeats: int) -> tuple[float, ...]:
    missing = repeats - len(times)
    return times + timer(number, missing) if missing > 0 else times
