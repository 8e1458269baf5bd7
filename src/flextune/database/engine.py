"""Connections to a records database: opened, its version looked at, its tables made."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

import sqlalchemy as sql
from sqlalchemy.dialects import sqlite

from flextune.database.schema import (
    READABLE,
    VERSION,
    about_table,
    metadata,
    records_table,
    trials_table,
)
from flextune.database.server import lock_writing
from flextune.errors import DamagedError, NoDatabaseError

BUSY_SECS: Final = 30.0
"""How long a writer waits for another process before it gives up."""

_WAITING: Final = {"timeout": BUSY_SECS}
_WITH_RECORDS: Final = {records_table.name, trials_table.name}


def file_engine(path: Path, must_exist: bool, only_read: bool = False) -> sql.Engine:
    """For an SQLite file, which may be missing unless it `must_exist`. `DatabaseError` for what cannot be one."""
    if path.is_dir():
        raise NoDatabaseError(f"records database {path}: it is a folder; name a file in it with --db")
    if not path.exists():
        if must_exist:
            raise NoDatabaseError(
                f"records database {path}: no such file; `flextune tune` makes it, or choose one with --db"
            )
        if not path.parent.is_dir():
            raise NoDatabaseError(f"records database {path}: folder {path.parent} does not exist; create it first")
    if path.exists() and not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
        return _engine_for_reading(path)
    engine = sql.create_engine(sql.URL.create("sqlite", database=str(path.absolute())), connect_args=_WAITING)
    sql.event.listen(engine, "connect", _prepare_sqlite)
    if only_read:
        sql.event.listen(engine, "connect", _refuse_to_write)
    return engine


def _engine_for_reading(path: Path) -> sql.Engine:
    """For a file in a folder that cannot be written: SQLite could not make its side files there."""
    query = {"mode": "ro", "immutable": "1", "uri": "true"}
    engine = sql.create_engine(sql.URL.create("sqlite", database=path.absolute().as_uri(), query=query))
    sql.event.listen(engine, "connect", _read_any_text)
    return engine


def _read_any_text(connection: sqlite3.Connection, _record: object = None) -> None:
    """A text that is not UTF-8 damages its own row, and not all that is read with it."""
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")


def _refuse_to_write(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")


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


def checked_version(engine: sql.Engine, name: str, must_exist: bool = False) -> int:
    """The version of the database, which is created where there is none; `DatabaseError` for one that is not read.

    With `must_exist` nothing is created on a server: who may only read could not.
    """
    tables = set(sql.inspect(engine).get_table_names())
    if tables and about_table.name not in tables:
        raise DamagedError(f"records database {name}: it belongs to another program; choose another one with --db")
    if must_exist and not tables and engine.dialect.name != "sqlite":
        raise NoDatabaseError(f"records database {name}: it is empty; `flextune tune` with this --db begins it")
    found = _version(engine) if about_table.name in tables and tables & _WITH_RECORDS else None
    if found is None:
        _create_schema(engine)
        found = _version(engine)
    version = next((each for each in READABLE if str(each) == found), None)
    if version is None:
        raise DamagedError(
            f"records database {name}: it is of version {found}, this flextune reads versions up to {VERSION}; use the "
            "newer flextune that wrote it, or choose another one with --db"
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
    insert = insert_unless_there(engine, about_table)
    with engine.begin() as connection:
        lock_writing(connection)
        _create_tables(connection)
        connection.execute(insert.values(name="version", value=str(VERSION)))


def _create_tables(connection: sql.Connection) -> None:
    """Those that are missing."""
    for table in metadata.sorted_tables:
        connection.execute(sql.schema.CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: index.name or ""):
            connection.execute(sql.schema.CreateIndex(index, if_not_exists=True))


def upgrade(connection: sql.Connection) -> None:
    """From an older version, within a transaction; the update begins it where statements that create tables do not."""
    older = [str(version) for version in READABLE if version < VERSION]
    old = (about_table.c.name == "version") & about_table.c.value.in_(older)
    connection.execute(sql.update(about_table).where(old).values(value=str(VERSION)))
    _create_tables(connection)


def insert_unless_there(engine: sql.Engine, table: sql.Table) -> sql.Insert:
    """An insert that leaves a row with the same unique value as it is."""
    if engine.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # loads several drivers' dialects, which SQLite has no use for

        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
