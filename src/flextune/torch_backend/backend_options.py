"""What `torch.compile(..., options=...)` may say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from flextune.database.address import DatabaseAddress
from flextune.errors import UsageError
from flextune.registry import nearest
from flextune.settings import default_database


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """Options of the backend.

    `minutes` of tuning before a graph is built (0: none); the records `db`, a file or a server's `postgresql://` URL
    (default: `$FLEXTUNE_DB`, else `flextune.db` in the current folder); `threads` of a run (0: as many as PyTorch uses,
    at most one per core); `frozen`: weights never change once a graph is built, so their contents are not looked at
    again; `strict`: what cannot be compiled is an error instead of a warning.
    """

    minutes: float = 0.0
    db: str | os.PathLike[str] | None = None
    threads: int = 0
    frozen: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        _check("minutes", self.minutes, _is_number(self.minutes) and 0 <= self.minutes < float("inf"), "a number >= 0")
        _check("db", self.db, self.db is None or isinstance(self.db, str | os.PathLike), "the path of a records file")
        if self.db is not None:  # whoever prints the options sees no password
            object.__setattr__(self, "db", DatabaseAddress.of(os.fspath(self.db)))
        _check("threads", self.threads, _is_number(self.threads, int) and self.threads >= 0, "a whole number >= 0")
        _check("frozen", self.frozen, isinstance(self.frozen, bool), "True or False")
        _check("strict", self.strict, isinstance(self.strict, bool), "True or False")

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> BackendOptions:
        """UsageError for names that are unknown and values of other types."""
        if given is not None and not isinstance(given, Mapping):
            raise UsageError(f"options: expected a dictionary, got {type(given).__name__}")
        known = tuple(field.name for field in fields(cls))
        if unknown := [name for name in given or {} if name not in known]:
            raise UsageError(
                f"unknown option {unknown[0]!r} of the backend flextune: {nearest(str(unknown[0]), known)}"
            )
        return cls(**(given or {}))

    @property
    def database(self) -> DatabaseAddress:
        return DatabaseAddress.of(os.fspath(default_database() if self.db is None else self.db))


def _check(name: str, value: object, is_right: bool, expected: str) -> None:
    if not is_right:
        raise UsageError(f"option {name}: expected {expected}, got {value!r}")


def _is_number(value: object, kind: type | tuple[type, ...] = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
