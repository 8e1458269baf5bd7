"""How much faster, and how sure: the default schedule against the best one, by the best evidence that there is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from flextune.trial.cost import CostOrigin
from flextune.trial.evidence import best_record
from flextune.trial.record import Evidence, TuningRecord

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the median lies with at least this probability, whatever the distribution of the values is."""

    low: float
    high: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The best record, and two of the same kind of evidence, which may be compared; None is what was not measured."""

    best: TuningRecord | None
    """What is built from these records."""
    before: TuningRecord | None = None
    """The default schedule, or the first trial of an objective."""
    after: TuningRecord | None = None
    """The best one's schedule, timed like `before`."""
    speedup: float | None = None
    """How many times faster: the median of the rounds where both were timed in turns."""
    interval: Interval | None = None
    """Of the speedup; None where they were not timed in turns, or only once."""
    rounds: int = 0
    """In which both were timed in turns; 0 where they were timed alone."""


def compare(records: Sequence[TuningRecord]) -> Comparison:
    """Of one workload's records on one target, in order. The first trial of a program is its default schedule.

    By the last comparison in turns where both were in it; else by the latest trials of both, each timed alone.
    """
    best = best_record(records)
    first = next((record for record in records if record.evidence is Evidence.TRIAL), None)
    if best is None or first is None:
        return Comparison(best)
    if best.evidence is not Evidence.TRIAL:
        before, after = _pair(_last_comparison(records), first.key, best.key)
        if before is not None and after == best:
            return _compared(best, before, best)
    before, after = _pair([each for each in records if each.evidence is Evidence.TRIAL], first.key, best.key)
    if before is None or after is None or before.secs <= 0 or after.secs <= 0:
        return Comparison(best)
    return Comparison(best, before, after, before.secs / after.secs)


def how_sure(found: Comparison, candidates: int) -> str:
    """What a comparison rests on, of a task of which so many candidates were tried."""
    if found.best is None:
        return "nothing ran"
    if candidates == 1:
        return "only the default was tried"
    if found.before is None or found.after is None:
        return "the default was not timed in the same way"
    if found.before.key == found.after.key:
        return "the default is the best"
    if not found.rounds and found.best.origin is not CostOrigin.MEASURED:
        return f"{found.best.origin}, which is the same every time"
    if not found.rounds:
        return "each timed alone: could be chance"
    where = f"inside {found.best.model}" if found.best.evidence is Evidence.IN_MODEL else "in turns"
    rounds = "1 round" if found.rounds == 1 else f"{found.rounds} rounds"
    if found.interval is None:
        return f"{where}, {rounds}: no interval"
    covered = f", interval covers {found.interval.coverage:.0%}" if found.interval.coverage < CONFIDENCE else ""
    clear = "clear" if found.interval.low > 1 else "not shown to be faster"
    return f"{clear}: {where}, {rounds}{covered}"


def _pair(records: Sequence[TuningRecord], first: str, second: str) -> tuple[TuningRecord | None, TuningRecord | None]:
    """The latest records of two candidates; None for one that did not run."""
    latest = {record.key: record for record in records if record.key in (first, second)}
    found = [latest.get(key) for key in (first, second)]
    before, after = (each if each is not None and each.measurement.ok else None for each in found)
    return before, after


def _compared(best: TuningRecord, before: TuningRecord, after: TuningRecord) -> Comparison:
    ratios = [mine / theirs for mine, theirs in zip(before.run_secs, after.run_secs, strict=False) if theirs > 0]
    if before.secs <= 0 or not ratios:
        return Comparison(best, before, after)
    return Comparison(best, before, after, statistics.median(ratios), median_interval(ratios), len(ratios))


def _last_comparison(records: Sequence[TuningRecord]) -> list[TuningRecord]:
    """What was timed in turns with the last record: a candidate that occurs again is of an earlier comparison."""
    last, found = records[-1], dict[str, TuningRecord]()
    for record in reversed(records):
        if (record.evidence, record.model) != (last.evidence, last.model) or record.key in found:
            break
        found[record.key] = record
    return list(found.values())


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """By order statistics (Conover 1999, section 3.2): needs no assumption but that the values are independent.

    Few values do not reach the confidence: then it is all of them, with what they cover. None for fewer than two.

    >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    Interval(low=1.0, high=6.0, coverage=0.96875)
    """
    count, ordered = len(values), sorted(values)
    if count < 2:
        return None
    left_out = max((k for k in range((count + 1) // 2) if _coverage(count, k) >= confidence), default=0)
    return Interval(ordered[left_out], ordered[count - 1 - left_out], _coverage(count, left_out))


def _coverage(count: int, left_out: int) -> float:
    """The probability that the median lies between the values when so many are left out at each end."""
    return 1 - 2 * sum(comb(count, k) for k in range(left_out + 1)) / float(2**count)
