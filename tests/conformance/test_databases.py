"""Every kind of database flextune opens passes the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from flextune.testing.databases import DatabaseSuite, open_sqlite
from flextune.testing.postgres import PostgresServer, open_in_folder, opened_by


class TestSqlite(DatabaseSuite):
    open = staticmethod(open_sqlite)


class TestPostgres(DatabaseSuite):
    open = staticmethod(open_in_folder)

    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLEXTUNE_JOURNAL", str(tmp_path / "journal"))
        self.open = opened_by(postgres.address("postgres"))
