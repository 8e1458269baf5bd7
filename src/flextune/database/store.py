"""Records in SQLite (a file) or PostgreSQL (a team), through SQLAlchemy."""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sql
from sqlalchemy.dialects import sqlite

from flextune.database.database import D, Database
from flextune.database.faults import storage_faults
from flextune.database.schema import (
    READABLE,
    VERSION,
    about_table,
    decisions_table,
    metadata,
    record_row,
    records_table,
)
from flextune.errors import DamagedError, DatabaseError, FlextuneError, UsageError
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

BUSY_SECS: Final = 30.0
"""How long a writer waits for another process before it gives up."""

_WAITING: Final = {"timeout": BUSY_SECS}

Parsed = TypeVar("Parsed")


def open_database(path: str | Path, must_exist: bool = False) -> Database:
    """Open the records at `path`, a file name or a `postgresql://` URL, and create them when they are not there.

    With `must_exist` a missing file is a `DatabaseError` instead: reading commands never make an empty database.
    """
    text = database_text(path)
    if text.startswith(("postgresql://", "postgresql+", "postgres://")):
        return _open_server(text)
    if "://" in text:
        raise DatabaseError(f"records database {text!r}: expected a file name or a postgresql:// URL")
    return _open_file(Path(text), must_exist)


def database_text(path: str | Path) -> str:
    """A file name or URL as text. UsageError for what is neither, of which a file of that name would be made."""
    if not isinstance(path, str | Path) or not str(path).strip():
        raise UsageError(f"expected the file name or postgresql:// URL of a records database, got {path!r:.80}")
    return str(path)


class SqlDatabase(Database):
    """Records behind an SQLAlchemy engine whose schema has been checked; made by `open_database`.

    A database of an older version is read as it is, row by row. What is first written to it, in one step with that,
    makes it one of this version: an older flextune then refuses it instead of stumbling over rows it cannot read.
    """

    def __init__(self, engine: sql.Engine, name: str, version: int = VERSION) -> None:
        self._engine = engine
        self.name = name
        self._version = version

    def commit_all(self, records: Iterable[TuningRecord]) -> int:
        rows = [record_row(record) for record in records]
        statement = _insert_unless_there(self._engine, records_table)
        with self._writing() as connection:
            return sum(connection.execute(statement, row).rowcount for row in rows)

    def records(self, workload_key: str | None = None, target_key: str | None = None) -> list[TuningRecord]:
        query = sql.select(records_table.c.id, records_table.c.record).order_by(records_table.c.id)
        if workload_key is not None:
            query = query.where(records_table.c.workload_key == workload_key)
        if target_key is not None:
            query = query.where(records_table.c.target_key == target_key)
        with storage_faults(self.name), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return list(self._readable(rows))

    def best(self, workload_key: str, target_key: str) -> TuningRecord | None:
        newer = records_table.alias("newer")
        is_latest = ~sql.exists().where(newer.c.candidate == records_table.c.candidate, newer.c.id > records_table.c.id)
        query = (
            sql.select(records_table.c.id, records_table.c.record)
            .where(records_table.c.workload_key == workload_key, records_table.c.target_key == target_key)
            .where(records_table.c.status == "ok", records_table.c.secs.is_not(None), is_latest)
            .order_by(records_table.c.secs, records_table.c.id)
        )
        return next(self._readable(self._one_by_one(query)), None)

    def decide(self, decisions: Iterable[Decision]) -> None:
        rows = [{"key": each.key, "target_key": each.target_key, "decision": each.to_json()} for each in decisions]
        if rows:
            with self._writing() as connection:
                connection.execute(sql.insert(decisions_table), rows)

    def decisions(self, kind: type[D], target_key: str | None = None, key: str | None = None) -> list[D]:
        if self._version < VERSION and self._lacks_decisions:
            return []
        query = sql.select(decisions_table.c.id, decisions_table.c.decision).order_by(decisions_table.c.id)
        if target_key is not None:
            query = query.where(decisions_table.c.target_key == target_key)
        if key is not None:
            query = query.where(decisions_table.c.key == key)
        with storage_faults(self.name), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        found = [self._parsed(Decision.from_json, decisions_table, row.id, row.decision) for row in rows]
        asked = (each for each in found if isinstance(each, kind))
        return list({(type(each), each.key, each.target_key): each for each in asked}.values())

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[sql.Connection]:
        """One step of writing, with the step to this version where that is still to be made."""
        with storage_faults(self.name), self._engine.begin() as connection:
            if self._version < VERSION:
                _upgrade(connection)
            yield connection
        self._version = VERSION

    @cached_property
    def _lacks_decisions(self) -> bool:
        """A database that was not written to since may be from before there were decisions."""
        with storage_faults(self.name):
            return decisions_table.name not in sql.inspect(self._engine).get_table_names()

    def _one_by_one(self, query: sql.Select[Any, Any]) -> Iterator[sql.Row[Any, Any]]:
        """The rows of a query of which the first is mostly enough."""
        for number in count():
            with storage_faults(self.name), self._engine.connect() as connection:
                row = connection.execute(query.limit(1).offset(number)).first()
            if row is None:
                return
            yield row

    def _readable(self, rows: Iterable[sql.Row[Any, Any]]) -> Iterator[TuningRecord]:
        """The records in rows; one that is damaged is named in a warning, and is missed no more than one not made."""
        for row in rows:
            try:
                yield self._parsed(TuningRecord.from_json, records_table, row.id, row.record)
            except DatabaseError as error:
                warnings.warn(f"left out: {error}", stacklevel=3)

    def _parsed(self, parse: Callable[[str], Parsed], table: sql.Table, row_id: int, text: object) -> Parsed:
        try:
            return parse(_clean(text))
        except FlextuneError as error:
            raise DamagedError(
                f"records database {self.name}: row {row_id} of {table.name} is damaged: {error}; remove it with "
                f"`sqlite3 {self.name} 'DELETE FROM {table.name} WHERE id = {row_id}'`"
            ) from error


def _clean(text: object) -> str:
    """The text of a row; `UsageError` for what is none."""
    if not isinstance(text, str):
        raise UsageError(f"it holds {type(text).__name__} instead of text")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UsageError("its text is not UTF-8")
    return text


def _open_file(path: Path, must_exist: bool) -> Database:
    if path.is_dir():
        raise DatabaseError(f"records database {path}: it is a folder; name a file in it with --db")
    if not path.exists():
        if must_exist:
            raise DatabaseError(
                f"records database {path}: no such file; `flextune tune` makes it, or choose one with --db"
            )
        if not path.parent.is_dir():
            raise DatabaseError(f"records database {path}: folder {path.parent} does not exist; create it first")
    if path.exists() and not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
        return _checked(_engine_for_reading(path), str(path))
    engine = sql.create_engine(sql.URL.create("sqlite", database=str(path.absolute())), connect_args=_WAITING)
    sql.event.listen(engine, "connect", _prepare_sqlite)
    return _checked(engine, str(path))


def _engine_for_reading(path: Path) -> sql.Engine:
    """For a file in a folder that cannot be written: SQLite could not make its side files there."""
    query = {"mode": "ro", "immutable": "1", "uri": "true"}
    engine = sql.create_engine(sql.URL.create("sqlite", database=path.absolute().as_uri(), query=query))
    sql.event.listen(engine, "connect", _read_any_text)
    return engine


def _read_any_text(connection: sqlite3.Connection, _record: object = None) -> None:
    """A text that is not UTF-8 damages its own row, and not all that is read with it."""
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")


def _open_server(url: str) -> Database:
    shown = sql.make_url(url.replace("postgres://", "postgresql://", 1))
    try:
        engine = sql.create_engine(shown)
    except ModuleNotFoundError as error:
        raise DatabaseError(
            f"records database {shown.render_as_string()}: the PostgreSQL driver {error.name!r} is not installed; "
            f"pip install {error.name}, or name another driver as in postgresql+pg8000://"
        ) from error
    return _checked(engine, shown.render_as_string())


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Write-ahead log (readers never block writers) and a flush to disk per commit."""
    _read_any_text(connection)
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _switch_to_wal(cursor)
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """SQLite does not wait for others here, however long its timeout is; so do it ourselves."""
    deadline = time.monotonic() + BUSY_SECS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _checked(engine: sql.Engine, name: str) -> Database:
    try:
        with storage_faults(name):
            version = _checked_version(engine, name)
    except DatabaseError:
        engine.dispose()
        raise
    return SqlDatabase(engine, name, version)


def _checked_version(engine: sql.Engine, name: str) -> int:
    """The version of the database, which is created where there is none; `DatabaseError` for one that is not read."""
    tables = set(sql.inspect(engine).get_table_names())
    if tables and about_table.name not in tables:
        raise DamagedError(f"records database {name}: it belongs to another program; choose another file with --db")
    found = _version(engine) if {about_table.name, records_table.name} <= tables else None
    if found is None:
        _create_schema(engine)
        found = _version(engine)
    version = next((each for each in READABLE if str(each) == found), None)
    if version is None:
        raise DamagedError(
            f"records database {name}: it is of version {found}, this flextune reads versions up to {VERSION}; use the "
            "newer flextune that wrote it, or choose another file with --db"
        )
    return version


def _version(engine: sql.Engine) -> str | None:
    with engine.connect() as connection:
        found: str | None = connection.execute(
            sql.select(about_table.c.value).where(about_table.c.name == "version")
        ).scalar()
    return found


def _create_schema(engine: sql.Engine) -> None:
    """Every statement may be repeated: others may be at it, or may have died in the middle; the version comes last."""
    insert = _insert_unless_there(engine, about_table)
    with engine.begin() as connection:
        _create_tables(connection)
        connection.execute(insert.values(name="version", value=str(VERSION)))


def _create_tables(connection: sql.Connection) -> None:
    """Those that are missing."""
    for table in metadata.sorted_tables:
        connection.execute(sql.schema.CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: index.name or ""):
            connection.execute(sql.schema.CreateIndex(index, if_not_exists=True))


def _upgrade(connection: sql.Connection) -> None:
    """From version 1, within a transaction; the update begins it also where statements that create tables do not."""
    old = (about_table.c.name == "version") & (about_table.c.value == "1")
    connection.execute(sql.update(about_table).where(old).values(value=str(VERSION)))
    _create_tables(connection)


def _insert_unless_there(engine: sql.Engine, table: sql.Table) -> sql.Insert:
    """An insert that leaves a row with the same unique value as it is."""
    if engine.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # loads several drivers' dialects, which SQLite has no use for

        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
