"""The layouts of a model's kernels, for people."""

from __future__ import annotations

import tvm

from flextune.lowering.kernels import primitives
from flextune.lowering.layout import Layout
from flextune.plan.layouts.layout_assignment import LayoutPair
from flextune.tvm_types import RelaxExpr

_ORDER = ("data_layout", "layout")


def layouts_of_functions(module: tvm.IRModule) -> dict[str, str]:
    """Of each group with one convolution or pooling of images: `NHWC`, or `NCHW>NHWC` where they differ."""
    found = {}
    for variable, function in primitives(module):
        values = (binding.value for block in function.body.blocks for binding in block.bindings)
        texts = [text for text in map(_layout_of, values) if text is not None]
        if len(texts) == 1:
            found[variable.name_hint] = texts[0]
    return found


def _layout_of(value: RelaxExpr) -> str | None:
    attributes = getattr(value, "attrs", None)
    data = next((str(getattr(attributes, name)) for name in _ORDER if hasattr(attributes, name)), None)
    read = None if data is None else Layout.of_image(data)
    return (
        None
        if read is None
        else str(LayoutPair(read, Layout.of_image(str(getattr(attributes, "out_layout", ""))) or read))
    )
