"""A database that others write to, read again and again: each time only what is new."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from flextune.database.database import Database, Position
from flextune.database.store import open_database
from flextune.errors import DatabaseError, NoDatabaseError
from flextune.report.bounds import task_bounds
from flextune.report.contents import contents_about
from flextune.report.subject import Subject
from flextune.report.task_history import TaskHistory, task_of
from flextune.trial.chronology import in_order_of_time
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

_JUST_NOW = timedelta(minutes=1)
_NAMES_SHOWN = 3


class Follower:
    """Knows what the database at `path` holds. It may be missing still, be replaced by another, or be unreadable for a
    while: then what was read before stays, and `problem` says what is wrong."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.version = 0
        """Grows when something is new."""
        self.problem = ""
        self._database: Database | None = None
        self._file: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._forget()

    def refresh(self) -> None:
        """Read what is new."""
        with self._lock:
            try:
                self._read(self._opened())
                problem = ""
            except NoDatabaseError:
                problem = f"{self.path} is not there yet; `flextune tune` makes it"
            except DatabaseError as error:
                problem = str(error)
            if problem != self.problem:
                self.problem = problem
                self.version += 1

    def subject(self, about: str | None) -> Subject:
        """What there is to report. UsageError where nothing is what was asked for."""
        with self._lock:
            contents = contents_about(about, self.path, self._tasks(), self._decisions)
        return Subject(contents, task_bounds(contents.tasks))

    def lately(self, now: datetime) -> str:
        """What was measured in the last minute."""
        with self._lock:
            latest = [records[-1] for records in self._records.values()]
            if not latest:
                return "no records yet"
            recent = [_recent(records, now) for records in self._records.values()]
        names = [record.name for record, count in zip(latest, recent, strict=True) if count]
        if not names:
            return (
                f"nothing was measured in the last minute; the last trial was at {max(each.created for each in latest)}"
            )
        shown = ", ".join(names[:_NAMES_SHOWN]) + (
            f" and {len(names) - _NAMES_SHOWN} more" if names[_NAMES_SHOWN:] else ""
        )
        return f"{sum(recent)} trials in the last minute, of {shown}"

    @property
    def models(self) -> list[str]:
        """Those that were decided about."""
        return list(dict.fromkeys(each.model for each in self._decisions if each.model))

    def close(self) -> None:
        with self._lock:
            self._close()

    def _opened(self) -> Database:
        """The database; what was read is forgotten where another file has taken its place."""
        file = _identity(self.path)
        if self._database is None or file != self._file:
            self._close()
            self._database, self._file = open_database(self.path, only_read=True), file
            self._forget()
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _forget(self) -> None:
        self._position = Position()
        self._records: dict[tuple[object, ...], list[TuningRecord]] = {}
        self._histories: dict[tuple[object, ...], TaskHistory] = {}
        self._decisions: Sequence[Decision] = ()

    def _read(self, database: Database) -> None:
        news = database.news(self._position)
        if news.position == self._position:
            return
        if news.position.decision != self._position.decision:
            self._decisions = database.decisions(Decision)
        for record in news.records:
            task = task_of(record)
            self._records.setdefault(task, []).append(record)
            self._histories.pop(task, None)
        for task in {task_of(record) for record in news.records}:
            self._records[task] = in_order_of_time(self._records[task])
        self._position = news.position
        self.version += 1

    def _tasks(self) -> list[TaskHistory]:
        for task, records in self._records.items():
            if task not in self._histories:
                self._histories[task] = TaskHistory.of(records)
        return [self._histories[task] for task in self._records]


def _recent(records: Sequence[TuningRecord], now: datetime) -> int:
    """How many were made in the last minute."""
    count = 0
    for record in reversed(records):
        if datetime.fromisoformat(record.created) < now - _JUST_NOW:
            break
        count += 1
    return count


def _identity(path: str) -> tuple[int, int] | None:
    """Of the file; None for a server, and where there is none."""
    with suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def now() -> datetime:
    return datetime.now(UTC)
