"""Temporary folders and files that do not outlive their process for long, even when the process is killed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
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
_UNLOCKED = f"{_LOCK}.new"
_MADE_SECS = 2.0
"""After so long a file or folder has its lock."""
_ATTEMPTS = 3
"""At a folder, which another process may take for abandoned when this one was stopped before it had its lock."""

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
            self.path, self._lock = _locked_folder(f"{PREFIX}{kind}-", base)
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


def _locked_folder(prefix: str, base: Path) -> tuple[Path, IO[str]]:
    """Of a name that begins so; and its open lock."""
    for _ in range(_ATTEMPTS):
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        unlocked = path / _UNLOCKED
        with contextlib.suppress(FileNotFoundError):
            lock = unlocked.open("w")
            _try_lock(lock)
            unlocked.rename(path / _LOCK)  # whoever finds the file finds it locked
            return path, lock
    raise FileNotFoundError(errno.ENOENT, "it was removed at once")


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
            if path.stat().st_uid == os.getuid() and _is_abandoned_folder(path):
                _remove_folder(path)


def _remove_abandoned_file(path: Path) -> None:
    with contextlib.suppress(OSError):
        if fcntl is not None and _is_made(path) and path.stat().st_uid == os.getuid() and _is_unlocked(path):
            path.unlink(missing_ok=True)


def _remove(lock: IO[str], path: Path, owner: int) -> None:
    if os.getpid() != owner:  # a copy of the owner, which has done with its copy of the object
        return
    if fcntl is None:  # an open file cannot be removed there
        lock.close()
    _remove_folder(path)
    lock.close()


def _remove_folder(path: Path) -> None:
    """The lock goes last: what a process that is killed meanwhile leaves is known as abandoned."""
    with contextlib.suppress(OSError):
        for entry in path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != _LOCK:
                entry.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def _is_abandoned_folder(path: Path) -> bool:
    """Its owner was killed; if before it had made the lock or once it had removed it, there is nothing else inside."""
    lock = path / _LOCK
    if lock.is_file():
        return _is_unlocked(lock)
    is_private = stat.S_IMODE(path.stat().st_mode) == stat.S_IRWXU
    return is_private and _is_made(path) and {entry.name for entry in path.iterdir()} <= {_UNLOCKED}


def _is_made(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _MADE_SECS


def _is_unlocked(lock: Path) -> bool:
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
