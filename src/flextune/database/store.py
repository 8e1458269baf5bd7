"""Records in SQLite (a file) or PostgreSQL (a team), through SQLAlchemy."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sql

from flextune.database.address import DatabaseAddress
from flextune.database.database import D, Database, News, Position
from flextune.database.engine import checked_version, file_engine, upgrade
from flextune.database.faults import storage_faults
from flextune.database.journal import Journal, Step
from flextune.database.overview import TaskOverview
from flextune.database.overview_reader import OverviewReader
from flextune.database.rows import RowReader, RowWriter, insert_decisions_once, record_rows
from flextune.database.schema import VERSION, decisions_table, records_table, trials_table
from flextune.database.server import check_server, lock_writing, server_engine, when_restarted
from flextune.database.server_database import RepeatableDatabase, ServerDatabase
from flextune.errors import DatabaseError
from flextune.garbage import collection_put_off
from flextune.settings import journal_folder
from flextune.trial.chronology import from_future, in_order_of_time
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord
from flextune.uninterrupted import entered_and_ended_whole


def open_database(path: str | Path, must_exist: bool = False, only_read: bool = False) -> Database:
    """Open the records at `path`, a file name or a `postgresql://` URL, and create them when they are not there.

    With `must_exist` a missing file is a `DatabaseError` instead: reading commands never make an empty database. What
    is written to a server while it does not answer waits on this machine (`ServerDatabase`). With `only_read` the
    storage itself refuses to write, and a missing file is an error too.
    """
    address, must_exist = DatabaseAddress.of(path), must_exist or only_read
    if not address.is_server:
        return _checked(file_engine(Path(address), must_exist, only_read), address, must_exist)
    if only_read:
        return _checked(server_engine(address).execution_options(postgresql_readonly=True), address, must_exist)
    journal = Journal(address.journal, journal_folder())
    try:
        database = when_restarted(lambda: _checked(server_engine(address), address, must_exist))
    except DatabaseError as error:
        if waiting := journal.left():
            raise type(error)(f"{error}; records for it wait in {waiting[0].parent}") from error
        raise
    return ServerDatabase(database, journal)


class SqlDatabase(RepeatableDatabase):
    """Records behind an SQLAlchemy engine whose schema has been checked; made by `open_database`.

    A database of an older version is read as it is, row by row. What is first written to it, in one step with that,
    makes it one of this version: an older flextune then refuses it instead of stumbling over rows it cannot read.
    """

    def __init__(self, engine: sql.Engine, name: str, version: int = VERSION) -> None:
        self._engine = engine
        self.name = name
        self._version = version
        with storage_faults(name):
            self._has_whole = records_table.name in self._tables
        self._reader = RowReader(name, self._has_whole)
        self._writer = RowWriter(engine, self._has_whole)

    def commit_all(self, records: Iterable[TuningRecord]) -> int:
        rows = [record_rows(record) for record in records]
        with self._writing() as connection:
            return self._writer.insert(connection, rows)

    def store_once(self, steps: Sequence[Step]) -> None:
        with self._writing() as connection:
            for step in steps:
                records = [record_rows(each) for each in step if isinstance(each, TuningRecord)]
                self._writer.insert(connection, records)
                insert_decisions_once(connection, [_decision_row(each) for each in step if isinstance(each, Decision)])

    def records(self, workload_key: str | None = None, target_key: str | None = None) -> list[TuningRecord]:
        with storage_faults(self.name), collection_put_off(), self._engine.connect() as connection:
            stored = self._reader.records(connection, workload_key, target_key, self._has(trials_table))
        self._tell_of_clocks(stored)
        return in_order_of_time(stored)

    def overviews(
        self, workload_key: str | None = None, target_key: str | None = None, causes: bool = False
    ) -> list[TaskOverview]:
        if self._has_whole or not self._has(trials_table):  # of an older version: what there is is read
            return super().overviews(workload_key, target_key, causes)
        with storage_faults(self.name), collection_put_off(), self._engine.connect() as connection:
            return OverviewReader(self._reader, connection).overviews(workload_key, target_key, causes)

    def news(self, since: Position) -> News:
        with storage_faults(self.name), collection_put_off(), self._engine.connect() as connection:
            has_trials = self._has(trials_table)
            record = _last(connection, trials_table) if has_trials else 0
            decision = _last(connection, decisions_table) if self._has(decisions_table) else 0
            position = Position(record, decision)
            if record == since.record:
                return News((), position)
            rows = range(since.record, record)
            found = self._reader.records(connection, None, None, has_trials, rows)
            return News(tuple(in_order_of_time(found)), position)

    def best(self, workload_key: str, target_key: str) -> TuningRecord | None:
        with storage_faults(self.name), self._engine.connect() as connection:
            return self._reader.best(connection, workload_key, target_key, self._has(trials_table))

    def decide(self, decisions: Iterable[Decision]) -> None:
        rows = [_decision_row(each) for each in decisions]
        if rows:
            with self._writing() as connection:
                connection.execute(sql.insert(decisions_table), rows)

    def decisions(self, kind: type[D], target_key: str | None = None, key: str | None = None) -> list[D]:
        query = sql.select(decisions_table.c.id, decisions_table.c.decision).order_by(decisions_table.c.id)
        if target_key is not None:
            query = query.where(decisions_table.c.target_key == target_key)
        if key is not None:
            query = query.where(decisions_table.c.key == key)
        with storage_faults(self.name):
            if not self._has(decisions_table):
                return []
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
        found = [self._reader.parsed(Decision.from_json, decisions_table, row.id, row.decision) for row in rows]
        asked = in_order_of_time([each for each in found if isinstance(each, kind)])
        return list({(type(each), each.key, each.target_key): each for each in asked}.values())

    def close(self) -> None:
        self._engine.dispose()

    def _tell_of_clocks(self, records: Sequence[TuningRecord]) -> None:
        if future := from_future(records):
            warnings.warn(
                f"records database {self.name}: {len(future)} records have a time in the future, such as "
                f"{future[-1].created}: the clock of this host, or of the one that measured them, is wrong; they count "
                "as older than all others, in the order in which they arrived",
                stacklevel=3,
            )

    @contextmanager
    def _writing(self) -> Iterator[sql.Connection]:
        """One step of writing, with the step to this version where that is still to be made."""
        self._writer.begin()
        try:
            with storage_faults(self.name), entered_and_ended_whole(self._engine.begin()) as connection:
                lock_writing(connection)
                if self._version < VERSION:
                    upgrade(connection)
                yield connection
        except DatabaseError:
            self._writer.forget()
            raise
        self._writer.committed()
        self._version = VERSION

    @property
    def _tables(self) -> list[str]:
        return sql.inspect(self._engine).get_table_names()

    def _has(self, table: sql.Table) -> bool:
        """A database of an older version gets its new tables when it is next written to, perhaps by others."""
        return self._version == VERSION or table.name in self._tables


def _last(connection: sql.Connection, table: sql.Table) -> int:
    return int(connection.execute(sql.select(sql.func.max(table.c.id))).scalar() or 0)


def _decision_row(decision: Decision) -> dict[str, object]:
    return {"key": decision.key, "target_key": decision.target_key, "decision": decision.to_json()}


def _checked(engine: sql.Engine, address: DatabaseAddress, must_exist: bool) -> SqlDatabase:
    try:
        with storage_faults(address):
            version = checked_version(engine, address, must_exist)
            if address.is_server:
                check_server(engine, address)
        return SqlDatabase(engine, address, version)
    except DatabaseError:
        engine.dispose()
        raise
