"""PyTorch for tests of the backend, and modules compiled by it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture
def torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """PyTorch without gradients, in an empty folder, with nothing compiled before."""
    if find_spec("torch") is None or find_spec("onnxscript") is None:
        pytest.skip("the extra 'torch' is not installed")
    from flextune.torch_import import load_torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEXTUNE_DB", raising=False)
    loaded = load_torch("these tests")
    loaded.manual_seed(0)
    loaded._dynamo.reset()
    with loaded.no_grad():
        yield loaded
    loaded._dynamo.reset()


@pytest.fixture
def compiled(torch) -> Callable[..., object]:
    """`torch.compile` with the backend."""
    from flextune.torch_backend import compile_graph

    def compile_it(function, **arguments):
        return torch.compile(function, backend=compile_graph, **arguments)

    return compile_it


@pytest.fixture
def newly_built(torch) -> Callable[[], int]:
    """How many graphs were built since the last call, or since the test began."""
    from flextune.torch_backend import graphs

    told = len(graphs())

    def count() -> int:
        nonlocal told
        entries = graphs()[told:]
        told += len(entries)
        return sum(entry.is_built for entry in entries)

    return count


@pytest.fixture
def no_warning() -> Callable[[], AbstractContextManager[None]]:
    """A context in which the backend must not warn."""

    @contextmanager
    def context() -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="flextune")
            yield

    return context
