"""From what storage engines report to one `DatabaseError` that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from flextune.errors import DamagedError, DatabaseError

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
        kind = DamagedError if any(sign in str(error.orig).lower() for sign in _DAMAGED) else DatabaseError
        raise kind(f"records database {name}: {advice(str(error.orig))}") from error
    except UnicodeDecodeError as error:  # names of damaged tables, or what SQLite says of them
        raise DamagedError(f"records database {name}: {advice('malformed')}") from error
    except exc.SQLAlchemyError as error:
        raise DatabaseError(f"records database {name}: {error}") from error
