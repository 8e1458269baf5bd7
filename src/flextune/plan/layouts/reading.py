"""The layouts of a model's kernels, for people."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from flextune.lowering.layout import Layout
from flextune.plan.layouts.assignment import LayoutPair
from flextune.tvm_types import RelaxExpr

_ORDER = ("data_layout", "layout")


def layouts_of_functions(module: tvm.IRModule) -> dict[str, str]:
    """Of each function with a convolution or pooling of images: `NHWC`, or `NCHW>NHWC` where they differ."""
    found = {}
    for variable, function in module.functions_items():
        if isinstance(function, relax.Function):
            texts = [text for text in map(_layout_of, _values(function)) if text is not None]
            if len(texts) == 1:
                found[variable.name_hint] = texts[0]
    return found


def _values(function: relax.Function) -> list[Any]:
    return [binding.value for block in function.body.blocks for binding in block.bindings]


def _layout_of(value: RelaxExpr) -> str | None:
    attributes = getattr(value, "attrs", None)
    data = next((str(getattr(attributes, name)) for name in _ORDER if hasattr(attributes, name)), None)
    if data is None or not data.startswith(("NHWC", "NCHW")):
        return None
    return str(LayoutPair(Layout.parse(data), Layout.parse(str(getattr(attributes, "out_layout", "") or data))))
