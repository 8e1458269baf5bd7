"""Files that decide what a command or a function does: those that its words name, and sources that these mention."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

_SOURCES = re.compile(
    r"\.(py|pyx|sh|bash|pl|rb|lua|js|ts|jl|r|c|h|cc|hh|cpp|hpp|cxx|hxx|cu|cuh|cl|inc|s|asm|f|f90|rs|go|java|mk|cmake"
    r"|json|yaml|yml|toml|ini|cfg)",
    re.IGNORECASE,
)
_SOURCE_NAMES = frozenset({"Makefile", "makefile", "CMakeLists.txt"})
_MOST_READ = 1 << 20
_MOST_FILES = 1000
_WORD = re.compile(r"[\w./+-]*\w")
_MODULE = re.compile(r"\w+(?:\.\w+)*")


def source_files(words: Iterable[str], folder: Path, *, any_kind: bool) -> dict[str, str]:
    """Name and digest of every file that a word names, and of the sources that a source mentions, and so on.

    Words are paths, seen from `folder`, or programs. With `any_kind` data and programs count; without, sources alone.
    """
    found: dict[Path, str] = {}
    waiting = [path for word in words for path in _named(word, folder) if any_kind or is_source(path)]
    while waiting and len(found) < _MOST_FILES:
        path = waiting.pop()
        if path not in found:
            found[path] = digest_of(path)
            waiting += _mentioned(path, folder)
    return {_shown(path, folder): found[path] for path in sorted(found)}


def is_source(path: Path) -> bool:
    """Whether somebody writes this file and no run of a program does, as its name and its first line say."""
    if _SOURCES.fullmatch(path.suffix) or path.name in _SOURCE_NAMES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def is_compiled(path: Path) -> bool:
    """Whether this is a program or library that a compiler made."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def digest_of(path: Path) -> str:
    """Of the file's content; of nothing where it cannot be read."""
    try:
        about = path.stat()
        return _digest(path, about.st_size, about.st_mtime_ns)
    except OSError:
        return ""


@lru_cache(maxsize=4096)
def _digest(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _named(word: str, folder: Path) -> Iterator[Path]:
    """The files of a word, of the part of it behind `=` (`--input=data.json`), or of the words in it (`sh -c TEXT`)."""
    parts = _WORD.findall(word) if any(map(str.isspace, word)) else ()
    for text in dict.fromkeys((word, word.partition("=")[2], *parts)):
        path = _regular(folder, text)
        if path is not None:
            yield path


def program_file(word: str, folder: Path) -> Path | None:
    """The file that runs for the first word of a command."""
    path = folder / word if os.sep in word else Path(shutil.which(word) or folder / word)
    return path.resolve() if path.is_file() else None


def _regular(folder: Path, text: str) -> Path | None:
    if not text or "\0" in text or len(text) > 4096:
        return None
    try:
        path = (folder / text).resolve()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):
        return None


def _mentioned(path: Path, folder: Path) -> Iterator[Path]:
    """Sources that the text of a source names, as a path or as a module, beside it or below the working folder."""
    if not is_source(path):
        return
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_READ).decode(errors="replace")
    except OSError:
        return
    names = set(_WORD.findall(text))
    if path.suffix == ".py":
        modules = {found.replace(".", "/") for found in _MODULE.findall(text)}
        names |= {f"{module}.py" for module in modules} | {f"{module}/__init__.py" for module in modules}
    beside = _listing(path.parent) | _listing(folder)
    for name in names:
        if name.partition("/")[0] in beside or name.startswith((".", "/")):
            for place in (path.parent, folder):
                found = _regular(place, name)
                if found is not None and is_source(found):
                    yield found


def _listing(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _shown(path: Path, folder: Path) -> str:
    try:
        return str(path.relative_to(folder.resolve()))
    except ValueError:
        return str(path)
