"""What a place for tuning records must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from flextune.csp.assignment import Assignment
from flextune.database.overview import TaskOverview, overviews_of
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

D = TypeVar("D", bound=Decision)


@dataclass(frozen=True, slots=True)
class Position:
    """How far somebody has read: numbers that grow with every record and every decision. `Position()` is nowhere."""

    record: int = -1
    decision: int = -1


@dataclass(frozen=True, slots=True)
class News:
    """What came after a position."""

    records: tuple[TuningRecord, ...]
    """In the order of time: they may belong before what was read earlier."""
    position: Position
    """Up to which they were read; that of decisions is another one where any were made."""


class Database(ABC):
    """An append-only log of tuning records, shared by any number of processes.

    * When `commit` returns, the records survive the death of the process at any later moment; when the process dies
      inside it, either all of the given records are stored or none is.
    * Nothing is changed or removed. The same record given twice is stored once. Two measurements of the same candidate
      are two records: **the latest measurement of a candidate is the one that counts**, so that a finalist which was
      measured again, or found to be wrong, is judged by the better evidence.
    * Order is that of the times at which records were measured and decisions made (`trial.chronology`), and among equal
      times that of commits: what another database measured earlier counts as earlier whenever it arrives. A time in the
      future, from a clock that is wrong, is earlier than any other.
    * Keys are the workload's and the target's `key`; `None` means "any".
    * A record that is damaged, or that holds a program which does more than compute, is left out of what is read, with
      a warning that names it.
    * Everything that can go wrong with the storage is a `DatabaseError` that says what to do.

    `flextune.testing.databases.DatabaseSuite` checks all of this for a class of your own.
    """

    name = ""
    """What to call it in messages: its path or URL, where it has one."""

    @abstractmethod
    def commit_all(self, records: Iterable[TuningRecord]) -> int:
        """Store these records in one step and return how many of them were not stored before."""

    @abstractmethod
    def records(self, workload_key: str | None = None, target_key: str | None = None) -> list[TuningRecord]:
        """All records of this workload and target, failures included."""

    @abstractmethod
    def best(self, workload_key: str, target_key: str) -> TuningRecord | None:
        """The record with the smallest median time among the latest ones of each candidate; None when none is ok.

        Where none is in measured seconds, of those of the scale that says most of it (`trial.evidence`): records of
        different units or origins are never ranked together.
        """

    @abstractmethod
    def decide(self, decisions: Iterable[Decision]) -> None:
        """Store decisions; of several of one kind on one key and target the latest counts."""

    @abstractmethod
    def decisions(self, kind: type[D], target_key: str | None = None, key: str | None = None) -> list[D]:
        """The latest decision of this kind (`Decision` is any) on each key of this target, or on this key only."""

    @abstractmethod
    def close(self) -> None:
        """Release files and connections. Using the database afterwards is an error."""

    def overviews(
        self, workload_key: str | None = None, target_key: str | None = None, causes: bool = False
    ) -> list[TaskOverview]:
        """What `records` would say in short, of each workload, target and unit; with `causes` also why some failed.

        A storage that can tell without reading all of them does so.
        """
        return overviews_of(self.records(workload_key, target_key), causes)

    @abstractmethod
    def news(self, since: Position) -> News:
        """The records that were committed after a position."""

    def commit(self, record: TuningRecord) -> bool:
        """Store one record; False when this very record is stored already."""
        return self.commit_all((record,)) == 1

    def decision(self, kind: type[D], target_key: str, key: str) -> D | None:
        """The latest decision of this kind on this key; None where there is none."""
        return next(iter(self.decisions(kind, target_key, key)), None)

    def measured(self, workload_key: str, target_key: str) -> tuple[Assignment, ...]:
        """The distinct assignments with a record, failures included, in the order of their first one."""
        return tuple(dict.fromkeys(record.assigned for record in self.records(workload_key, target_key)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
