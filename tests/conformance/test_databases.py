"""Every database flextune opens passes the suite."""

from pathlib import Path

from flextune.database.base import Database
from flextune.database.store import open_database
from flextune.testing.databases import DatabaseSuite


class TestSqlite(DatabaseSuite):
    def open(self, folder: Path) -> Database:
        return open_database(folder / "records.db")
