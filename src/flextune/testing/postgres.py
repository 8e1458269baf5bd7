"""A PostgreSQL server of one's own, to test against: in a temporary folder, over a socket there, gone at the end.

    with PostgresServer() as server:
        database = open_database(server.address("records"))

It needs PostgreSQL's programs (Debian: `apt install postgresql`) and the extra `team`; `why_no_server` says what is
missing. PostgreSQL refuses to run as root, whose servers therefore run as the user `postgres`, or as `nobody`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Self

import sqlalchemy as sql

from flextune.database.database import Database
from flextune.database.store import open_database
from flextune.errors import EnvironmentFault

_INSTALLED = "/usr/lib/postgresql"
"""Where Debian has them, out of the way of PATH."""
_START_SECS = 60
_OPTIONS = ("listen_addresses=", "fsync=off", "max_connections=60", "shared_buffers=16MB", "lc_messages=C")


def why_no_server() -> str:
    """What is missing; empty where a server can be started."""
    if _programs() is None:
        return "PostgreSQL's programs initdb and pg_ctl are not installed"
    if importlib.util.find_spec("psycopg") is None:
        return "the PostgreSQL driver psycopg is not installed"
    return "" if _user() is not None else "PostgreSQL does not run as root, and there is no other user here to run it"


class PostgresServer:
    """A server that listens to one socket; a database of it is made when its address is first asked for."""

    user = "flextune"
    password = "not/told@anybody"

    def __init__(self) -> None:
        programs, user = _programs(), _user()
        if programs is None or user is None:
            raise EnvironmentFault(why_no_server())
        self._programs = programs
        self._user = user
        self.folder = Path(tempfile.mkdtemp(prefix="flextune-postgres-", dir="/tmp"))
        self._made: set[str] = set()
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    def address(self, name: str, password: str | None = None) -> str:
        """Of a database, which is empty when it is asked for the first time."""
        if name not in self._made:
            _create(self._address("postgres", self.password), name)
            self._made.add(name)
        return self._address(name, self.password if password is None else password)

    def start(self) -> None:
        """Returns when the server answers."""
        settings = [word for option in _OPTIONS for word in ("-c", option)]
        options = " ".join(["-k", str(self.folder), *settings])
        self._run("pg_ctl", "start", "-w", "-t", str(_START_SECS), "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """At once, as when it is killed: what is under way is lost, what is committed is not."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-w")

    def close(self) -> None:
        """Stop it and remove all of it."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _address(self, name: str, password: str) -> str:
        shown = password.replace("/", "%2F").replace("@", "%40")
        return f"postgresql://{self.user}:{shown}@/{name}?host={self.folder}"

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password + "\n")
        for path in (self.folder, secret):
            os.chown(path, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-U", self.user, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-sync")

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), "-D", str(self.folder / "data"), *words]
        is_root = os.getuid() == 0
        with (self.folder / "output").open("ab") as output:  # a pipe would stay open for as long as the server runs
            done = subprocess.run(
                command,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_START_SECS + 10,
                check=False,
                user=self._user.pw_uid if is_root else None,
                group=self._user.pw_gid if is_root else None,
                extra_groups=[] if is_root else None,
            )
        if done.returncode:
            told = " ".join((self.folder / "output").read_text(errors="replace").split())
            raise EnvironmentFault(f"PostgreSQL's {program} failed: {told[-500:]}")


def open_in_folder(address: str, folder: Path) -> Database:
    """The database that belongs to a folder, on the server of another one's address; made when it is missing."""
    name = "of_" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    _create(address, name)
    return open_database(str(sql.make_url(address).set(database=name).render_as_string(hide_password=False)))


def opened_by(address: str) -> partial[Database]:
    """`open` for a `DatabaseSuite`; other processes can be given it."""
    return partial(open_in_folder, address)


def _create(address: str, name: str) -> None:
    """Unless it is there, or somebody else makes it."""
    engine = sql.create_engine(address.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sql.text("SELECT pg_advisory_lock(1)"))
            known = sql.text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(known, {"name": name}).scalar() is None:
                connection.execute(sql.text(f'CREATE DATABASE "{name}"'))
    finally:
        engine.dispose()


def _programs() -> Path | None:
    """The folder with the newest ones."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = [path.parent for path in Path(_INSTALLED).glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


def _user() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    known = {each.pw_name: each for each in pwd.getpwall()}
    return known.get("postgres") or known.get("nobody")
