"""Records on a server, which may be away for a while: what is written then waits in a journal on this machine."""

from __future__ import annotations

import threading
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from flextune.database.database import D, Database, News, Position
from flextune.database.journal import Journal, Step, Waiting, waiting_count
from flextune.database.merging import Age, Subject, age_of, subject
from flextune.database.overview import TaskOverview
from flextune.errors import DatabaseError, UnreachableError
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

Answer = TypeVar("Answer")

_PATIENCE_SECS = 60.0
"""How long one who reads waits for a server to come back."""

_LAST_SECS = 10.0
"""How long what still waits is offered when the database is closed."""

_PAUSE_SECS = 1.0

_SHARE = 20.0
"""A try that takes a second is not repeated for this many: a server that is away must not slow a run down."""

_ATTEMPTS = 3
"""A server that has restarted is noticed by the first one, and answers the second; transactions may meet."""

_QUICK_SECS = 1.0
"""A try that took longer has waited for an answer, which the next one would do again."""


class RepeatableDatabase(Database):
    """One that can be given the same again by somebody who does not know whether it has arrived."""

    @abstractmethod
    def store_once(self, steps: Sequence[Step]) -> None:
        """Store all of these, in order and in one step, but for what is stored already: also of decisions."""


class ServerDatabase(Database):
    """A database on a server, with a journal for what it does not take just now.

    * `commit_all` and `decide` return when the server has stored what they were given, or the journal has: a file
      that survives the death of the process. They then wait no longer for a server that is away, and offer what waits
      again with later calls, in order. The number of new records is then that of the given ones.
    * Whoever opens the database on this machine delivers what ended processes have left. What arrives twice, as after
      a connection that broke in the middle, is stored once: each record and each decision is known by its text.
    * Who reads sees all of this process: what waits is delivered first. For a server that is away a minute is waited.
    """

    def __init__(self, database: RepeatableDatabase, journal: Journal) -> None:
        self._database = database
        self._journal = journal
        self.name = database.name
        self._lock = threading.RLock()
        self._next_try = 0.0
        self._deliver_left()

    def commit_all(self, records: Iterable[TuningRecord]) -> int:
        records = tuple(records)
        stored = self._store(records, lambda: self._database.commit_all(records))
        return len(set(records)) if stored is None else stored

    def decide(self, decisions: Iterable[Decision]) -> None:
        decisions = tuple(decisions)
        if decisions:
            self._store(decisions, lambda: self._database.store_once((decisions,)))

    def records(self, workload_key: str | None = None, target_key: str | None = None) -> list[TuningRecord]:
        return self._read(lambda: self._database.records(workload_key, target_key))

    def overviews(
        self, workload_key: str | None = None, target_key: str | None = None, causes: bool = False
    ) -> list[TaskOverview]:
        return self._read(lambda: self._database.overviews(workload_key, target_key, causes))

    def news(self, since: Position) -> News:
        return self._read(lambda: self._database.news(since))

    def best(self, workload_key: str, target_key: str) -> TuningRecord | None:
        return self._read(lambda: self._database.best(workload_key, target_key))

    def decisions(self, kind: type[D], target_key: str | None = None, key: str | None = None) -> list[D]:
        return self._read(lambda: self._database.decisions(kind, target_key, key))

    def close(self) -> None:
        with self._lock:
            deadline = time.monotonic() + _LAST_SECS
            while self._journal.path is not None and not self._delivered() and time.monotonic() < deadline:
                time.sleep(_PAUSE_SECS)
            if self._journal.path is not None:
                self._tell(f"does not answer yet: what waits in {self._journal.path} is sent when it is opened next")
            self._journal.leave()
            self._database.close()

    def _store(self, step: Step, store: Callable[[], Answer]) -> Answer | None:
        """None where the step waits."""
        with self._lock:
            if self._journal.path is None or (time.monotonic() >= self._next_try and self._delivered()):
                began = time.monotonic()
                try:
                    return _attempted(store)
                except UnreachableError as error:
                    self._put_off(began)
                    self._tell(f"takes no records just now, they wait on this machine meanwhile: {self._reason(error)}")
            self._journal.append(step)
            return None

    def _read(self, read: Callable[[], Answer]) -> Answer:
        with self._lock:
            deadline = time.monotonic() + _PATIENCE_SECS
            while True:
                try:
                    self._deliver()
                    return _attempted(read)
                except UnreachableError as error:
                    if time.monotonic() > deadline:
                        raise
                    self._tell(f"does not answer, waiting for it: {self._reason(error)}")
                    time.sleep(_PAUSE_SECS)

    def _delivered(self) -> bool:
        began = time.monotonic()
        try:
            self._deliver()
        except UnreachableError:
            self._put_off(began)
            return False
        return True

    def _put_off(self, began: float) -> None:
        now = time.monotonic()
        self._next_try = now + max(_PAUSE_SECS, _SHARE * (now - began))

    def _deliver(self) -> None:
        """All that waits in the file of this process."""
        if self._journal.path is None:
            return
        self._send(self._journal.waiting(), self._journal.path)
        self._journal.arrived()

    def _deliver_left(self) -> None:
        """What processes that have ended could not send; where that fails, it stays."""
        for path in self._journal.left():
            with self._journal.taken(path) as waiting:
                if waiting is None:
                    continue
                try:
                    self._send(waiting, path)
                    path.unlink(missing_ok=True)
                except DatabaseError as error:
                    self._tell(f"did not take the records that wait in {path}: {self._reason(error)}")
                    return

    def _send(self, waiting: Waiting, path: Path) -> None:
        steps = _attempted(lambda: self._stored(waiting.steps))
        if waiting.damaged:
            kept = path.with_suffix(".damaged")
            path.replace(kept)
            self._tell(f"lacks {waiting.damaged} records whose lines in {kept} are damaged")
        if count := waiting_count(steps):
            self._tell(f"has got the {count} records and decisions that waited on this machine")

    def _stored(self, steps: Sequence[Step]) -> Sequence[Step]:
        """These without decisions that somebody has made anew while they waited, which would count again."""
        if any(isinstance(each, Decision) for step in steps for each in step):
            known = {subject(each): age_of(each) for each in self._database.decisions(Decision)}
            steps = [tuple(each for each in step if not _is_outdated(each, known)) for step in steps]
        self._database.store_once(steps)
        return steps

    def _reason(self, error: DatabaseError) -> str:
        return str(error).removeprefix(f"records database {self.name}: ")

    def _tell(self, what: str) -> None:
        warnings.warn(f"records database {self.name} {what}", stacklevel=2)


def _is_outdated(waiting: TuningRecord | Decision, known: Mapping[Subject, Age]) -> bool:
    if not isinstance(waiting, Decision) or subject(waiting) not in known:
        return False
    return age_of(waiting)[0] < known[subject(waiting)][0]


def _attempted(action: Callable[[], Answer]) -> Answer:
    """The answer, to a further try where a connection broke or a transaction was in the way of another."""
    for _ in range(_ATTEMPTS - 1):
        began = time.monotonic()
        try:
            return action()
        except UnreachableError:
            if time.monotonic() - began > _QUICK_SECS:
                raise
    return action()
