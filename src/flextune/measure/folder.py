"""A private temporary folder that does not outlive its process for long, even when the process is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from flextune.errors import EnvironmentFault

try:
    import fcntl
except ImportError:  # Windows: folders of killed processes stay
    fcntl = None  # type: ignore[assignment]

PREFIX = "flextune-measure-"
_LOCK = "in-use"


class PrivateFolder:
    """Made with access for this user only, removed by `close`; folders left by killed processes are removed too.

    A lock on a file inside says that the owner lives: the kernel takes it back with the process, whatever kills it.
    """

    def __init__(self, parent: Path | None = None) -> None:
        base = parent or Path(tempfile.gettempdir())
        remove_abandoned(base)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
            self._lock = (self.path / _LOCK).open("w")
        except OSError as error:
            raise EnvironmentFault(
                f"no temporary folder for measuring in {base}: {error.strerror}; free some space or set TMPDIR"
            ) from error
        _try_lock(self._lock)

    def close(self) -> None:
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def remove_abandoned(base: Path) -> None:
    """Remove this user's folders below `base` whose owner has died."""
    if fcntl is None:
        return
    for path in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == os.getuid() and _is_abandoned(path / _LOCK):
                shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(lock: Path) -> bool:
    """False also while the folder is being made and has no lock yet."""
    if not lock.exists():
        return False
    with lock.open("r") as file:
        return _try_lock(file)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (OSError, AttributeError):
        return False
    return True
