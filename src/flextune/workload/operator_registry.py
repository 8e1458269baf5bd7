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


def _shipped(module: str, attribute: str, folder: str = "flextune.workload.operators") -> Callable[[], Operator]:
    def load() -> Operator:
        operator = getattr(import_module(f"{folder}.{module}"), attribute)
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
    "conv2d_im2col": _shipped("im2col", "CONV2D_IM2COL"),
    "conv2d_winograd": _shipped("winograd_operator", "CONV2D_WINOGRAD", "flextune.plan.algorithms"),
    "depthwise": _shipped("depthwise", "DEPTHWISE"),
    "conv1d_transpose": _shipped("conv_transpose", "CONV1D_TRANSPOSE"),
    "conv2d_transpose": _shipped("conv_transpose", "CONV2D_TRANSPOSE"),
    "conv3d_transpose": _shipped("conv_transpose", "CONV3D_TRANSPOSE"),
    "pixel_cnn": _shipped("pixel_cnn", "PIXEL_CNN"),
    "shift_conv2d": _shipped("shift_conv", "SHIFT_CONV2D"),
    "bilinear": _shipped("tensor_products", "BILINEAR"),
    "mttkrp": _shipped("tensor_products", "MTTKRP"),
    "block_circulant": _shipped("block_circulant", "BLOCK_CIRCULANT"),
    "lstm_cell": _shipped("lstm_cell", "LSTM_CELL"),
    "scan": _shipped("scan", "SCAN"),
    "softmax": _shipped("normalization", "SOFTMAX"),
    "layer_norm": _shipped("normalization", "LAYER_NORM"),
    "batch_norm": _shipped("batch_norm", "BATCH_NORM"),
    "reduce": _shipped("reduction", "REDUCE"),
    "pool2d": _shipped("pool", "POOL2D"),
    "max_unpool1d": _shipped("max_unpool", "MAX_UNPOOL1D"),
    "max_unpool2d": _shipped("max_unpool", "MAX_UNPOOL2D"),
    "elementwise": _shipped("elementwise", "ELEMENTWISE"),
}

_FORMS = {
    "mean": "reduce:op=mean",
    "variance": "reduce:op=variance",
    "argmax": "reduce:op=argmax",
    "grouped": "conv2d:groups=2",
    "dilation": "conv2d:dilation=2",
    "max_pool2d": "pool2d:kind=max",
    "avg_pool2d": "pool2d:kind=avg",
}
"""Operators that are known by another name: how their text forms begin."""


def operator_names() -> tuple[str, ...]:
    return tuple(_FACTORIES)


def find_operator(name: str) -> Operator:
    """The operator called `name`; raises `UsageError` with the nearest names."""
    if name not in _FACTORIES:
        _add_plugins()
    if name in _FORMS and name not in _FACTORIES:
        raise UsageError(f"there is no operator {name!r}: write it as {_FORMS[name]},...")
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
