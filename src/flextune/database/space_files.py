"""Measured spaces in files, whichever of the formats they are in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flextune.database.kernel_tuner import closed, kernel_tuner_document, kernel_tuner_space
from flextune.database.t4 import t4_document, t4_space
from flextune.database.table_entries import Json, Table, table_of_space, write_document
from flextune.database.tabular_file import Object, parsed, text_of
from flextune.errors import UsageError
from flextune.registry import nearest
from flextune.trial.tabular import TabularSpace

_WRITERS: Mapping[str, Callable[[Table], dict[str, Json]]] = {
    "kernel-tuner": kernel_tuner_document,
    "t4": t4_document,
}
TABLE_FORMATS = tuple(_WRITERS)


def load_space(path: Path | str) -> TabularSpace:
    """A Kernel Tuner cache or a T4 file, `.json` or `.json.gz`; which of them it is, its contents say.

    `UsageError` naming the file, and the entry in it, for a file that is damaged, of another version, too large, or at
    odds with itself. Nothing in it is executed.
    """
    data = load_document(path)
    return t4_space(Path(path), data) if "results" in data else kernel_tuner_space(Path(path), data)


def load_document(path: Path | str) -> Object:
    """The JSON of a Kernel Tuner cache or a T4 file (it has `results`). `UsageError` for other files."""
    path = Path(path)
    data = parsed(path, closed(text_of(path)))
    if not {"results", "cache", "tune_params"} & data.keys():
        raise UsageError(
            f"{path} is neither a Kernel Tuner cache (it lacks 'cache') nor a T4 file (it lacks 'results')"
        )
    return data


def save_space(space: TabularSpace, path: Path | str, format: str = "t4") -> None:
    """Write a measured space as `t4` or `kernel-tuner`, gzipped where the name ends in `.gz`."""
    save_table(table_of_space(space), path, format)


def save_table(table: Table, path: Path | str, format: str) -> None:
    if format not in _WRITERS:
        raise UsageError(f"unknown format {format!r}: {nearest(format, TABLE_FORMATS)}")
    write_document(Path(path), _WRITERS[format](table))
