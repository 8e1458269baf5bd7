"""Connections to a PostgreSQL server, which a team shares."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import sqlalchemy as sql

from flextune.database.address import DatabaseAddress
from flextune.errors import DatabaseError, EnvironmentFault, NoDatabaseError, UnreachableError

Connected = TypeVar("Connected")

_DRIVER: Final = "postgresql+psycopg"
_LOCK_MILLISECONDS: Final = 30_000
_LOCK: Final = 0x666C6578
"""A number that no other program has reason to lock: two that create the same table at once disturb each other."""

_RESTARTING: Final = ("starting up", "shutting down", "recovery")
_RESTART_SECS: Final = 10.0

_WRONG_CLOCK: Final = timedelta(minutes=2)

_SETTINGS: Final = {
    "application_name": "flextune",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""Of libpq: a server that was unplugged is noticed within seconds. What an address says goes before them."""


def server_engine(address: DatabaseAddress) -> sql.Engine:
    """For a PostgreSQL server, which is not asked anything yet. `DatabaseError` where its driver is not installed."""
    url = _url(address)
    of_libpq = url.get_driver_name() in ("psycopg", "psycopg2")
    settings: dict[str, Any] = (
        {key: text for key, text in _SETTINGS.items() if key not in url.query} if of_libpq else {}
    )
    if url.get_driver_name() == "psycopg":
        settings["prepare_threshold"] = None  # a pool between us and the server may hand out another connection
    try:
        engine = sql.create_engine(url, connect_args=settings)
    except ModuleNotFoundError as error:
        advice = "pip install 'flextune[team]'" if error.name == "psycopg" else f"pip install {error.name}"
        raise DatabaseError(
            f"records database {address}: the PostgreSQL driver {error.name!r} is not installed; {advice}"
        ) from error
    except sql.exc.SQLAlchemyError:
        raise NoDatabaseError(
            f"records database {address}: no driver of this name; expected postgresql://user@host/name"
        ) from None
    sql.event.listen(engine, "connect", _prepare_session)
    return engine


def _url(address: DatabaseAddress) -> sql.URL:
    try:
        url = sql.make_url(address.full)
    except (sql.exc.ArgumentError, ValueError):  # which may repeat what was given
        raise NoDatabaseError(
            f"records database {address}: expected postgresql://user@host:port/name, with a number as port"
        ) from None
    scheme = url.drivername.lower()
    return url if "+" in scheme else url.set(drivername=_DRIVER)


def _prepare_session(connection: Any, _record: object) -> None:
    """As with an SQLite file: what is committed is on the disk, and a lock is waited for as long."""
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = {_LOCK_MILLISECONDS}")
    cursor.execute("SET synchronous_commit = on")
    cursor.close()
    connection.commit()


def when_restarted(connect: Callable[[], Connected]) -> Connected:
    """What `connect` gives, to a server that is just starting or going down a little later."""
    deadline = time.monotonic() + _RESTART_SECS
    while True:
        try:
            return connect()
        except UnreachableError as error:
            if not any(sign in str(error) for sign in _RESTARTING) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def check_server(engine: sql.Engine, address: DatabaseAddress) -> None:
    """It keeps every letter; and it is told where its clock and this host's differ: times order what is stored."""
    with engine.connect() as connection:
        encoding = connection.execute(sql.text("SHOW server_encoding")).scalar_one()
        now: datetime = connection.execute(sql.text("SELECT clock_timestamp()")).scalar_one()
    if encoding != "UTF8":
        raise EnvironmentFault(
            f"records database {address}: its encoding is {encoding}, in which texts are lost; make it anew with "
            "`createdb --encoding=UTF8 --template=template0 NAME`"
        )
    ahead = datetime.now(UTC) - now
    if abs(ahead) > _WRONG_CLOCK:
        warnings.warn(
            f"this host's clock is {_readable(ahead)} the clock of {address}: by their times records and decisions "
            "are told to be older or newer than those of others; set the clock",
            stacklevel=4,
        )


def _readable(ahead: timedelta) -> str:
    minutes = round(abs(ahead).total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min {'ahead of' if ahead > timedelta() else 'behind'}"


def lock_writing(connection: sql.Connection) -> None:
    """Until the transaction ends others who write wait here, so that rows are numbered in the order of commits.

    SQLite does the same by itself. A server ends the transaction of a host that was unplugged in its middle.
    """
    if connection.dialect.name == "postgresql":
        idle = sql.func.set_config("idle_in_transaction_session_timeout", str(_LOCK_MILLISECONDS), True)
        connection.execute(sql.select(idle, sql.func.pg_advisory_xact_lock(_LOCK)))
