"""What `torch.onnx` knows of its operators, read once: it would read their sources again for every model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module

_REGISTRATION = "torch.onnx._internal.exporter._registration"
"""No public module: where another release of PyTorch has none, or asks for its operators elsewhere, nothing changes."""

_READ = "get_torchlib_ops"


@contextmanager
def operators_read_once() -> Iterator[None]:
    """Inside, the exporter gets the operators of the first time: nearly half of what a small model takes is saved."""
    source = _source()
    read = getattr(source, _READ, None)
    if source is None or read is None:
        yield
        return
    setattr(source, _READ, lambda: _operators(read))
    try:
        yield
    finally:
        setattr(source, _READ, read)


def _source() -> object | None:
    """Whom the exporter asks for the operators."""
    try:
        return getattr(import_module(_REGISTRATION), "onnxscript_apis", None)
    except ImportError:
        return None


@lru_cache(maxsize=1)
def _operators(read: Callable[[], Sequence[object]]) -> Sequence[object]:
    return tuple(read())
