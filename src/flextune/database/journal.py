"""Records and decisions that wait on this machine for a server that does not answer.

Each process that has something to wait has a file of its own, in the form of `flextune records export`: a line for
each, and an empty line after those of one step. It is locked for as long as the process lives, and removed when all of
it has arrived. One that is left by a process which has ended belongs to whoever locks it next.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from flextune.database.jsonl import parsed_line
from flextune.errors import DatabaseError, FlextuneError
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

Step: TypeAlias = tuple[TuningRecord | Decision, ...]
"""What is stored at once or not at all."""

_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The content of one file."""

    steps: tuple[Step, ...]
    damaged: int
    """Lines that cannot be read; the file is kept for them."""


class Journal:
    """What waits for one server, by `name`, in a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder / name
        self._descriptor: int | None = None
        self.path: Path | None = None
        """The file of this process; None while nothing waits."""

    def append(self, step: Step) -> None:
        """When this returns, the step survives the death of the process. DatabaseError where it cannot be kept."""
        lines = "".join(each.to_json() + "\n" for each in step)
        try:
            if self._descriptor is None:
                self._begin()
            assert self._descriptor is not None
            _write(self._descriptor, f"{lines}\n".encode())
        except OSError as error:
            raise DatabaseError(
                f"records cannot be kept in {self._folder} until the server answers: {error.strerror}; choose another "
                "folder with $FLEXTUNE_JOURNAL"
            ) from error

    def _begin(self) -> None:
        """The file has its name only once it is locked, so that nobody takes it for one that was left."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{uuid.uuid4().hex}{_SUFFIX}"
        new = path.with_suffix(".new")
        descriptor = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            new.rename(path)
            _flush_folder(self._folder)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor, self.path = descriptor, path

    def waiting(self) -> Waiting:
        """What waits in the file of this process."""
        return Waiting((), 0) if self._descriptor is None else _read(self._descriptor)

    def arrived(self) -> None:
        """All of it is stored: the file goes."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """The file stays, for whoever opens the database next."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = self.path = None

    def left(self) -> list[Path]:
        """The files of processes that have ended, and of those that live."""
        return sorted(each for each in self._folder.glob(f"*{_SUFFIX}") if each != self.path)

    @contextmanager
    def taken(self, path: Path) -> Iterator[Waiting | None]:
        """One of those that were left, for this process alone; None where its process lives, or it is gone."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor))
            yield _read(descriptor) if is_there else None
        except BlockingIOError:
            yield None
        finally:
            os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    """All of it or nothing, but for a kill in the middle; on the disk when this returns."""
    end = os.fstat(descriptor).st_size
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def _flush_folder(folder: Path) -> None:
    """So that the new name survives a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> Waiting:
    """Of a step that was cut off nobody was told that it is stored."""
    size = os.fstat(descriptor).st_size
    *steps, _cut_off = os.pread(descriptor, size, 0).split(b"\n\n")
    read = [[_parsed(line) for line in step.split(b"\n") if line] for step in steps]
    whole = tuple(tuple(each for each in step if each is not None) for step in read)
    return Waiting(tuple(filter(None, whole)), sum(each is None for step in read for each in step))


def _parsed(line: bytes) -> TuningRecord | Decision | None:
    try:
        return parsed_line(line)
    except FlextuneError:
        return None


def waiting_count(steps: Sequence[Step]) -> int:
    """Of records and decisions."""
    return sum(map(len, steps))
