"""Where sets of records lie: a folder, or what `fsspec` reaches by a URL (a web server, S3, SSH, ...)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from flextune.errors import EnvironmentFault, UsageError


class SetStorage(ABC):
    """Files by name, in one place."""

    def __init__(self, name: str) -> None:
        self.name = name
        """For messages: without what stands before an @, where a password may be."""

    @abstractmethod
    def read(self, file: str) -> bytes:
        """UsageError where it cannot be read."""

    @abstractmethod
    def write(self, file: str, content: bytes) -> None:
        """UsageError where it cannot be written."""

    @abstractmethod
    def holds(self, file: str) -> bool:
        """Whether there is a file of this name."""


def set_storage(place: str) -> SetStorage:
    """A folder's, or with `://` in its name another one's. UsageError for what is none."""
    if not place.strip():
        raise UsageError("expected a folder or a URL such as s3://bucket/folder for a set of records, got nothing")
    return _Remote(place) if "://" in place else _Folder(place)


class _Folder(SetStorage):
    def read(self, file: str) -> bytes:
        try:
            return (Path(self.name) / file).read_bytes()
        except OSError as error:
            raise UsageError(f"set of records {self.name}: {file} cannot be read: {error.strerror}") from error

    def write(self, file: str, content: bytes) -> None:
        try:
            Path(self.name).mkdir(exist_ok=True)
            (Path(self.name) / file).write_bytes(content)
        except OSError as error:
            raise UsageError(f"set of records {self.name}: {file} cannot be written: {error.strerror}") from error

    def holds(self, file: str) -> bool:
        return (Path(self.name) / file).exists()


class _Remote(SetStorage):
    """Whatever goes wrong there is of many kinds, as each protocol has its own."""

    def __init__(self, url: str) -> None:
        scheme, _, place = url.partition("://")
        super().__init__(f"{scheme}://{place.rpartition('@')[2]}")
        try:
            import fsspec
        except ModuleNotFoundError as error:
            raise EnvironmentFault(
                f"set of records {self.name}: fsspec, which reaches it, is not installed; pip install 'flextune[team]'"
            ) from error
        try:
            self._files: Any
            self._files, self._root = fsspec.core.url_to_fs(url)
        except Exception as error:  # noqa: BLE001 - of any protocol
            raise self._fault("it cannot be reached", error, url) from None
        self._url = url

    def read(self, file: str) -> bytes:
        try:
            return bytes(self._files.cat_file(f"{self._root.rstrip('/')}/{file}"))
        except Exception as error:  # noqa: BLE001
            raise self._fault(f"{file} cannot be read", error, self._url) from None

    def write(self, file: str, content: bytes) -> None:
        try:
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(f"{self._root.rstrip('/')}/{file}", content)
        except Exception as error:  # noqa: BLE001
            raise self._fault(f"{file} cannot be written", error, self._url) from None

    def holds(self, file: str) -> bool:
        try:
            return bool(self._files.exists(f"{self._root.rstrip('/')}/{file}"))
        except Exception as error:  # noqa: BLE001
            raise self._fault("it cannot be read", error, self._url) from None

    def _fault(self, what: str, error: Exception, url: str) -> UsageError:
        before, at, _ = url.partition("://")[2].rpartition("@")
        told = " ".join(str(error).split()).replace(before + at, "") if at else " ".join(str(error).split())
        password = before.partition(":")[2]
        told = told.replace(password, "***") if password else told
        return UsageError(f"set of records {self.name}: {what}: {type(error).__name__}: {told[:300]}")
