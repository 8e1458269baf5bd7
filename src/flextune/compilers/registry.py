"""Compilers of subgraphs by name: naming one loads nothing."""

from __future__ import annotations

from collections.abc import Callable

from flextune.compilers.subgraph_compiler import SubgraphCompiler
from flextune.registry import Registry

Factory = Callable[[], SubgraphCompiler]

_COMPILERS: Registry[Factory] = Registry(
    "subgraph compiler",
    {
        "onnxruntime": "flextune.compilers.onnxruntime.compiler:OnnxRuntimeCompiler",
        "procedures": "flextune.compilers.procedures.compiler:ProcedureCompiler",
    },
)

register = _COMPILERS.register


def names() -> tuple[str, ...]:
    """All registered names."""
    return _COMPILERS.names


def get(name: str) -> SubgraphCompiler:
    """The compiler of this name. Raises `UsageError` with the nearest name when there is none."""
    return _COMPILERS.get(name)()
