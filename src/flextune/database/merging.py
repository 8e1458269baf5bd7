"""Records and decisions of one database for another: nothing twice, and of two decisions the later one counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from flextune.database.address import DatabaseAddress
from flextune.database.database import Database
from flextune.errors import UsageError
from flextune.trial.chronology import moment_of
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

Subject: TypeAlias = tuple[type[Decision], str, str]
Age: TypeAlias = tuple[datetime, str]

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Added:
    """How many were new to a database."""

    records: int
    decisions: int


def check_two(first: DatabaseAddress, second: DatabaseAddress) -> None:
    """UsageError for two names of one database."""
    files = not first.is_server and not second.is_server and first.exists and second.exists
    if first == second or (files and Path(first).samefile(second)):
        raise UsageError(f"{first} and {second} are the same database: name two")


def merge(first: Database, second: Database) -> tuple[Added, Added]:
    """Each gets what only the other has; returns what the first got and what the second got.

    When something was measured or decided says which is the latest, not when it arrived. Doing it again, also after it
    was interrupted, adds nothing twice.
    """
    records = (first.records(), second.records())
    decisions = (first.decisions(Decision), second.decisions(Decision))
    return (
        Added(_add_missing(first, records[1], records[0]), add_newer(first, decisions[1])),
        Added(_add_missing(second, records[0], records[1]), add_newer(second, decisions[0])),
    )


def _add_missing(database: Database, records: Iterable[TuningRecord], there: Iterable[TuningRecord]) -> int:
    known = frozenset(there)
    missing = [record for record in records if record not in known]
    return sum(database.commit_all(missing[at : at + _BATCH]) for at in range(0, len(missing), _BATCH))


def add_newer(database: Database, decisions: Sequence[Decision]) -> int:
    """Store those that are newer than what the database holds on their key and target; returns how many."""
    known = {subject(each): age_of(each) for each in database.decisions(Decision)}
    newer = [each for each in decisions if subject(each) not in known or age_of(each) > known[subject(each)]]
    database.decide(sorted(newer, key=age_of))
    return len(newer)


def subject(decision: Decision) -> Subject:
    """Of decisions with the same one the latest counts."""
    return type(decision), decision.key, decision.target_key


def age_of(decision: Decision) -> Age:
    """What decisions are ordered by. One from the future, made by a clock that is wrong, is older than any other."""
    return moment_of(decision.created), decision.to_json()
