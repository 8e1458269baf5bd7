"""From what storage engines report to one `DatabaseError` that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc

from flextune.database.address import DatabaseAddress
from flextune.errors import DamagedError, DatabaseError, UnreachableError

_ADVICE = (
    ("disk is full", "the disk is full: free some space and run again; records stored before are intact"),
    ("disk i/o error", "the disk cannot be written (full, over a quota, or failing): records stored before are intact"),
    ("locked", "another process has held it for too long: end that process and run again"),
    ("readonly", "it cannot be written: check the permissions of the file and its folder, or choose another with --db"),
    (
        "read-only",
        "it cannot be written: check the permissions of the file and its folder, or choose another with --db",
    ),
    (
        "unable to open",
        "it cannot be opened: check that the folder exists and can be written, or choose another with --db",
    ),
    ("not a database", "it is not a records database: choose another file with --db"),
    (
        "malformed",
        "it is damaged: recover it with `sqlite3 FILE .recover | sqlite3 NEW`, or choose another file with --db",
    ),
)

_SERVER_ADVICE: Final = (
    (
        "password authentication|no password supplied",
        "the server did not accept the password: give the right one in $PGPASSWORD or ~/.pgpass, and check the user",
    ),
    ('(database|role) ".*" does not exist', "make it first with `createdb` or `createuser`, as docs/records.md shows"),
    ("no pg_hba.conf entry", "the server does not let this host in: its pg_hba.conf has to name it"),
    ("permission denied", "this user may not do that there: let its owner grant it"),
    ("read-only transaction", "it can only be read: the address names a standby server, or this user may not write"),
    ("too many", "the server has no connection left: try again later, or raise its max_connections"),
    ("refused", "nothing answers there: check host and port, and that the server runs and listens to other hosts"),
    ("resolve host", "there is no host of this name: check the address"),
    ("lock timeout", "another process has held it for too long: end that process and run again"),
    ("timeout|timed out", "nothing answers there in time: check host and port, and that the network lets it through"),
    ("no such file", "nothing answers there: check the folder of its socket, and that the server runs"),
    ("starting up", "the server is just starting: try again"),
    ("shutting down", "the server is just going down: try again when it is back"),
    ("no space left", "the server's disk is full: its owner has to free some space"),
)

_LATER: Final = ("08", "53", "55P03", "57P", "25006", "25P03", "40001", "40P01", "58")
"""How codes of PostgreSQL begin where the same may succeed later: connections, resources, locks, restarts, standbys,
transactions that met or took too long, the system around it."""

_DAMAGED = ("not a database", "malformed", "no such table", "no such column")


def advice(message: str) -> str:
    """What to do about the engine's message; the message itself when it is none of the known ones."""
    lower = message.lower()
    return next((text for sign, text in _ADVICE if sign in lower), message)


@contextmanager
def storage_faults(name: str) -> Iterator[None]:
    """Turn the engine's errors inside the block into `DatabaseError` with the database's name."""
    try:
        yield
    except exc.DBAPIError as error:
        if not _has_codes(error):
            raise _of_file(name, error) from error
        raise _of_server(name, error) from (error if _may_be_shown(name, error) else None)
    except UnicodeDecodeError as error:  # names of damaged tables, or what SQLite says of them
        raise DamagedError(f"records database {name}: {advice('malformed')}") from error
    except exc.SQLAlchemyError as error:
        raise DatabaseError(f"records database {name}: {error}") from error


def _of_file(name: str, error: exc.DBAPIError) -> DatabaseError:
    kind = DamagedError if any(sign in str(error.orig).lower() for sign in _DAMAGED) else DatabaseError
    return kind(f"records database {name}: {advice(str(error.orig))}")


def _has_codes(error: exc.DBAPIError) -> bool:
    """Whether it comes from a server: its drivers have a place for the five letters, filled or not."""
    return error.connection_invalidated or hasattr(error.orig, "sqlstate") or hasattr(error.orig, "pgcode")


def _of_server(name: str, error: exc.DBAPIError) -> DatabaseError:
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    is_later = error.connection_invalidated or (code.startswith(_LATER) if code else _is_of_connection(error))
    told = " ".join(str(error.orig).split())
    if isinstance(name, DatabaseAddress):
        told = name.without_secrets(told)
    known = next((text for sign, text in _SERVER_ADVICE if re.search(sign, told, re.IGNORECASE)), "")
    message = f"records database {name}: {known} ({told})" if known else f"records database {name}: {told}"
    return UnreachableError(message) if is_later else DatabaseError(message)


def _may_be_shown(name: str, error: exc.DBAPIError) -> bool:
    """Whether what the driver says repeats no password."""
    return not isinstance(name, DatabaseAddress) or name.without_secrets(str(error)) == str(error)


def _is_of_connection(error: exc.DBAPIError) -> bool:
    """Without a code it is the driver that speaks: of a connection that it could not make, or that it lost."""
    return isinstance(error, exc.OperationalError | exc.InterfaceError)
