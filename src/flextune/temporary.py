"""Temporary folders and files that do not outlive their process for long, even when the process is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from flextune.errors import EnvironmentFault

try:
    import fcntl
except ImportError:  # Windows: folders of killed processes stay
    fcntl = None  # type: ignore[assignment]

PREFIX = "flextune-"
_LOCK = "in-use"
_MADE_SECS = 2.0
"""After so long a file has its lock."""

_ends: set[weakref.finalize[..., PrivateFolder]] = set()
"""Of the folders of this process."""


class PrivateFolder:
    """Made with access for this user only, removed by `close` or with this object; those of killed processes, too.

    A lock on a file inside says that the owner lives: the kernel takes it back with the process, whatever kills it.
    """

    def __init__(self, parent: Path | None = None, kind: str = "measure") -> None:
        base = parent or Path(tempfile.gettempdir())
        remove_abandoned(base)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", dir=base))
            unlocked = self.path / f"{_LOCK}.new"
            self._lock = unlocked.open("w")
            _try_lock(self._lock)
            unlocked.rename(self.path / _LOCK)  # whoever finds the file finds it locked
        except OSError as error:
            raise EnvironmentFault(
                f"no temporary folder in {base}: {error.strerror}; free some space or set TMPDIR"
            ) from error
        self._end = weakref.finalize(self, _remove, self._lock, self.path, os.getpid())
        _ends.difference_update([end for end in _ends if not end.alive])
        _ends.add(self._end)

    def close(self) -> None:
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_own_folders() -> None:
    """Remove what `PrivateFolder` made in this process: for one that ends without taking its objects apart."""
    for end in tuple(_ends):
        end()


@contextmanager
def partial_file(target: Path, suffix: str = "") -> Iterator[Path]:
    """A file beside `target` that becomes it, by a rename inside, or is removed; what killed processes left is, too.

    Raises the `OSError` where none can be made.
    """
    prefix = f".{target.name}-"
    for path in target.parent.glob(f"{_literal(prefix)}*{suffix}"):
        _remove_abandoned_file(path)
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=target.parent)
    with os.fdopen(handle) as lock:
        _try_lock(lock)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def remove_abandoned(base: Path) -> None:
    """Remove this user's folders below `base` whose owner has died."""
    if fcntl is None:
        return
    for path in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == os.getuid() and _is_abandoned(path / _LOCK):
                shutil.rmtree(path, ignore_errors=True)


def _remove_abandoned_file(path: Path) -> None:
    with contextlib.suppress(OSError):
        about = path.stat()
        is_made = time.time() - about.st_mtime > _MADE_SECS
        if fcntl is not None and is_made and about.st_uid == os.getuid() and _is_abandoned(path):
            path.unlink(missing_ok=True)


def _remove(lock: IO[str], path: Path, owner: int) -> None:
    if os.getpid() != owner:  # a copy of the owner, which has done with its copy of the object
        return
    lock.close()
    shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(lock: Path) -> bool:
    """False also while the folder is being made and has no lock yet."""
    if not lock.is_file():
        return False
    with lock.open("r") as file:
        return _try_lock(file)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (OSError, AttributeError):
        return False
    return True


def _literal(text: str) -> str:
    """For a pattern of `glob`."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)
