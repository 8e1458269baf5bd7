"""From the words on the command line to values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flextune.database.address import DatabaseAddress
from flextune.errors import UsageError
from flextune.registry import nearest
from flextune.settings import default_database
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload.dim import Dim, parse_dims


def is_model(text: str) -> bool:
    """Whether the argument names a model file rather than a workload."""
    return text.lower().endswith(".onnx") or ("/" in text and ":" not in text)


def read_target(text: str | None) -> Target:
    """The named target, or this machine."""
    return Target.parse(text) if text else detect()


def read_shapes(texts: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """`["x=1x3x224x224"]` -> `{"x": (1, 3, 224, 224)}`. Raises `UsageError`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts or ():
        name, equals, sizes = text.rpartition("=")
        parts = sizes.split("x")
        if not equals or not name or not all(part.isascii() and part.isdigit() for part in parts):
            raise UsageError(f"expected --shape NAME=1x3x224x224, got {text!r}")
        shapes[name] = tuple(map(int, parts))
    return shapes


def read_dims(texts: Sequence[str] | None) -> tuple[Dim, ...]:
    """`["seq=1..512"]` -> `(Dim("seq", 1, 512),)`. Raises `UsageError`."""
    return parse_dims(texts or ())


def read_values(texts: Sequence[str] | None) -> dict[str, float | list[float]]:
    """`["sr=16000", "s=1,2"]` -> `{"sr": 16000, "s": [1, 2]}`. Raises `UsageError`."""
    values: dict[str, float | list[float]] = {}
    for text in texts or ():
        name, equals, given = text.rpartition("=")
        try:
            numbers = [_number(part) for part in given.split(",")]
        except ValueError:
            numbers = []
        if not equals or not name or not numbers:
            raise UsageError(f"expected --value NAME=NUMBER or NAME=1,2,3, got {text!r}")
        values[name] = numbers if "," in given else numbers[0]
    return values


def _number(text: str) -> float:
    words = {"true": 1, "false": 0}
    if text.strip().lower() in words:
        return words[text.strip().lower()]
    try:
        return int(text)
    except ValueError:
        return float(text)


def read_strategy_options(texts: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """`["population=100"]` -> `(("population", "100"),)`; of one name given twice the last counts. `UsageError`."""
    return _read_options("--strategy-option", texts)


def read_cost_model_options(texts: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """As `read_strategy_options`."""
    return _read_options("--cost-model-option", texts)


def _read_options(flag: str, texts: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    options: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"expected {flag} NAME=VALUE, got {text!r}")
        options[name] = value
    return tuple(options.items())


def database_path(given: str | None) -> DatabaseAddress:
    """A file name or a server's address; printed, it shows no password."""
    return DatabaseAddress.of(given or default_database())


def check_output(file: Path, *read: str | Path) -> None:
    """Raises `UsageError` unless `file` can be written: in an existing folder, and none of those that are `read`."""
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UsageError(f"cannot write {file}: expected a file in an existing folder")
    if any(Path(each).exists() and file.exists() and file.samefile(each) for each in read):
        raise UsageError(f"cannot write {file}: it is what is read and would be lost; choose another name")


def require_known(kind: str, name: str, known: Sequence[str]) -> None:
    """Raises `UsageError` with the nearest name for an unknown one."""
    if name not in known:
        raise UsageError(f"unknown {kind} {name!r}: {nearest(name, tuple(known))}")
