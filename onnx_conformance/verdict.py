"""What one test came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`REFUSED`: a clear error before anything was computed. `WRONG`: another value, type or shape than expected.

    `ROUNDED`: as expected but for the last places: of 16-bit floats, whose spacing is about the suite's tolerance, or
    of float32 sums, of which the suite asks for more in small ones than the large numbers that they are made of have.
    `HYBRID`: passed or rounded, with nodes that another runtime computed; the other verdicts are of our own kernels.
    """

    PASSED = "passed"
    ROUNDED = "rounded"
    HYBRID = "hybrid"
    REFUSED = "refused"
    SKIPPED = "skipped"
    WRONG = "wrong"
    ERROR = "error"
    CRASHED = "crashed"
    TIMEOUT = "timeout"


FAULTS = (Verdict.WRONG, Verdict.ERROR, Verdict.CRASHED, Verdict.TIMEOUT)
"""What must not happen."""


@dataclass(frozen=True, slots=True)
class TestResult:
    """The verdict on one test, why (empty when it passed), and the seconds it took."""

    __test__ = False  # for pytest

    name: str
    verdict: Verdict
    reason: str = ""
    secs: float = 0.0
