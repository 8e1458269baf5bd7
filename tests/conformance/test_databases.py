"""Every kind of database flextune opens passes the suite."""

from flextune.testing.databases import DatabaseSuite, open_sqlite


class TestSqlite(DatabaseSuite):
    open = staticmethod(open_sqlite)
