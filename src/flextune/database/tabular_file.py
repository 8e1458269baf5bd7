"""Reading JSON files of measured spaces that somebody else wrote: limits, and checks that say what is wrong where."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

from flextune.errors import UsageError
from flextune.printable import json_values

MAX_BYTES = 512 << 20
"""The most that is read of a file, unpacked."""

Object = Mapping[str, object]


def parsed(path: Path, text: str) -> Object:
    """The object in a text. Numbers too large, too deep nesting and doubled keys are refused like broken syntax."""
    try:
        found = json_values(text, object_pairs_hook=_once_each)
    except RecursionError:
        raise UsageError(f"{path} is damaged: it is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: expected one JSON object, got {type(found).__name__}")
    return found


def text_of(path: Path) -> str:
    """The text of a plain or gzipped file of at most `MAX_BYTES`. `UsageError` naming the file."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path} is damaged: its compressed data is cut off or changed ({error})") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} holds more than {MAX_BYTES >> 20} MiB; split it")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is damaged: it is no UTF-8 text ({error.reason} at byte {error.start})") from None


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise ValueError(f"key {twice[:80]!r} is there twice")
    return found


def need(where: str, values: Object, name: str) -> object:
    """`values[name]`, or a `UsageError` that says where it is missing."""
    if name not in values:
        raise UsageError(f"{where} lacks {name!r}")
    return values[name]


def an_object(where: str, value: object) -> Object:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected an object, got {value!r:.80}")
    return value


def a_list(where: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: expected a list, got {value!r:.80}")
    return value


def a_text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: expected a text, got {value!r:.80}")
    return value


def is_number(value: object) -> bool:
    """Whether this is a finite number (a truth value is none)."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def duration(where: str, value: object) -> float:
    """A finite number that is not negative."""
    if not is_number(value) or value < 0:  # type: ignore[operator]
        raise UsageError(f"{where}: expected a time, got {value!r:.80}")
    return float(value)  # type: ignore[arg-type]
