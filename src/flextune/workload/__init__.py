"""What is computed: operators as tensor expressions, as values that print and parse.

Names are resolved on first use, so that importing this package loads neither NumPy nor TVM.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flextune.workload.dim import Dim
    from flextune.workload.dim_expr import DimExpr
    from flextune.workload.named import list_workload_names, named_workload
    from flextune.workload.operator import Operator
    from flextune.workload.operator_registry import find_operator, operator_names, register_operator
    from flextune.workload.parse import parse_workload
    from flextune.workload.tensor import TensorSpec, Tolerance
    from flextune.workload.tir import from_prim_func
    from flextune.workload.workload import Workload

_HOME = {
    "Dim": "dim",
    "DimExpr": "dim_expr",
    "Operator": "operator",
    "TensorSpec": "tensor",
    "Tolerance": "tensor",
    "Workload": "workload",
    "find_operator": "operator_registry",
    "from_prim_func": "tir",
    "list_workload_names": "named",
    "named_workload": "named",
    "operator_names": "operator_registry",
    "parse_workload": "parse",
    "register_operator": "operator_registry",
}

__all__ = [
    "Dim",
    "DimExpr",
    "Operator",
    "TensorSpec",
    "Tolerance",
    "Workload",
    "find_operator",
    "from_prim_func",
    "list_workload_names",
    "named_workload",
    "operator_names",
    "parse_workload",
    "register_operator",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'flextune.workload' has no attribute {name!r}")
    return getattr(import_module(f"flextune.workload.{_HOME[name]}"), name)
