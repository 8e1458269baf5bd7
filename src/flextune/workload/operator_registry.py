"""Operators by name, loaded on first use.

Those of other packages are found through the entry point group `flextune.operators` (name -> module:attribute), so
that every process of a run knows them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from flextune.errors import UsageError
from flextune.once import once
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import nearest

ENTRY_POINT_GROUP = "flextune.operators"


def _shipped(module: str, attribute: str) -> Callable[[], Operator]:
    def load() -> Operator:
        operator = getattr(import_module(f"flextune.workload.operators.{module}"), attribute)
        if not isinstance(operator, Operator):
            raise TypeError(f"{module}.{attribute} is not an Operator")
        return operator

    return load


_FACTORIES: dict[str, Callable[[], Operator]] = {
    "gemm": _shipped("matmul", "GEMM"),
    "bmm": _shipped("matmul", "BMM"),
    "gemv": _shipped("matmul", "GEMV"),
    "conv1d": _shipped("conv", "CONV1D"),
    "conv2d": _shipped("conv", "CONV2D"),
    "conv3d": _shipped("conv", "CONV3D"),
    "depthwise": _shipped("depthwise", "DEPTHWISE"),
    "conv2d_transpose": _shipped("conv_transpose", "CONV2D_TRANSPOSE"),
    "scan": _shipped("scan", "SCAN"),
    "softmax": _shipped("normalization", "SOFTMAX"),
    "layer_norm": _shipped("normalization", "LAYER_NORM"),
    "reduce": _shipped("reduction", "REDUCE"),
    "pool2d": _shipped("pool", "POOL2D"),
    "elementwise": _shipped("elementwise", "ELEMENTWISE"),
}

_TO_COME = (
    *("bilinear", "mttkrp", "conv1d_transpose", "conv3d_transpose", "block_circulant", "shift_conv2d", "lstm_cell"),
    *("max_unpool1d", "max_unpool2d", "batch_norm", "pixel_cnn", "gated_pixel_cnn"),
)


def operator_names() -> tuple[str, ...]:
    return tuple(_FACTORIES)


def find_operator(name: str) -> Operator:
    """The operator called `name`; raises `UsageError` with the nearest names."""
    if name not in _FACTORIES:
        _add_plugins()
    if name in _TO_COME and name not in _FACTORIES:
        raise UsageError(f"the operator {name!r} is not supported yet (supported: {', '.join(operator_names())})")
    if name not in _FACTORIES:
        known = operator_names()
        raise UsageError(f"unknown operator {name!r}{nearest(name, known)} (known: {', '.join(known)})")
    return _load(name)


def register_operator(operator: Operator) -> None:
    """Makes a new operator known to this process; raises `ValueError` when its name is taken."""
    if operator.name in _FACTORIES or operator.name == "tir":
        raise ValueError(f"an operator named {operator.name!r} exists already")
    _FACTORIES[operator.name] = lambda: operator


@once
def _add_plugins() -> None:
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        operator = entry.load()
        if not isinstance(operator, Operator) or operator.name != entry.name:
            raise TypeError(f"entry point {entry.name!r} = {entry.value!r} is not an Operator of that name")
        register_operator(operator)


@cache
def _load(name: str) -> Operator:
    return _FACTORIES[name]()
