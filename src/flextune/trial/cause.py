"""Grouping of failures: one short text per cause."""

from __future__ import annotations

import re

from flextune.trial.measurement import Measurement

CAUSE_LIMIT = 160

_REPLACEMENTS = (
    (re.compile(r"0x[0-9a-fA-F]+"), "@"),
    (re.compile(r"(?:/[\w.+-]+)+/([\w.+-]+)"), r"\1"),
    (re.compile(r"(?<!\w)-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"), "#"),
    (re.compile(r"#(?:\s*,\s*#)+"), "#, .."),
    (re.compile(r"\s+"), " "),
)


def cause(error: str) -> str:
    """The first line of an error without what differs from trial to trial (addresses, folders, numbers).

    >>> cause("worker died of SIGSEGV at 0x7f10 after 12 trials")
    'worker died of SIGSEGV at @ after # trials'
    """
    text = next((line.strip() for line in error.splitlines() if line.strip()), "")
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return text if len(text) <= CAUSE_LIMIT else text[: CAUSE_LIMIT - 2] + ".."


def failure_text(measurement: Measurement) -> str:
    """What a failure is grouped by: its status and cause."""
    return failure_of(measurement.status, measurement.error)


def failure_of(status: str, error: str) -> str:
    """The same for who has only these."""
    return f"{status}: {cause(error)}" if error else str(status)
