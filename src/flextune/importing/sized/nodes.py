"""Operators that ONNX does not have: what they need to know of sizes is written on them, as expressions.

t = Sizes(sizes=["batch", "2*seq"])              # int64[2]
i = Iota(sizes=["seq"])                          # int64[seq]: 0, 1, 2, ...
y = ReshapeTo(x, sizes=["batch", "seq", "64"])   # a reshape to these sizes
y = ExpandTo(x, sizes=[...])                     # stretched to them
y = SliceTo(x, begins, sizes=[...], steps=[...]) # element i of an axis is begins + i * steps of x
y = TakeAt(x, places, sizes=[...], axis=...)     # slices of an axis, at places that are counted from its front
y = TakeElementsAt(x, places, sizes=[...], axis=...)  # elements of an axis
y = TakeSlicesAt(x, places, sizes=[...], batch=...)   # slices at places along as many axes as `places` is long
y = PadTo(x, befores, sizes=[...], mode=..., value="0")  # element i of an axis is i - befores of x, or padding
y = TileTo(x, sizes=[...])                       # repeated until it has these sizes
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from flextune.workload.dim_expr import DimExpr

DOMAIN = "flextune.sizes"
"""Of these operators."""


def sized_node(
    operator: str, inputs: Iterable[str], output: str, sizes: Iterable[DimExpr], **attributes: object
) -> onnx.NodeProto:
    """A node of one of these operators; one that reads nothing has an input without a name, as rules expect a first."""
    node = onnx.helper.make_node(operator, list(inputs) or [""], [output], name=output, domain=DOMAIN, **attributes)
    state_sizes(node, sizes)
    return node


def state_sizes(node: onnx.NodeProto, sizes: Iterable[DimExpr]) -> None:
    """Write sizes on a node."""
    texts = [str(size) for size in sizes]
    node.attribute.append(onnx.helper.make_attribute("sizes", texts, attr_type=onnx.AttributeProto.STRINGS))


def sizes_of(node: onnx.NodeProto) -> tuple[DimExpr, ...]:
    """The sizes that are written on a node."""
    texts = (text for entry in node.attribute if entry.name == "sizes" for text in entry.strings)
    return tuple(DimExpr.parse(text.decode()) for text in texts)


def is_sized(node: onnx.NodeProto) -> bool:
    """Whether a node is of one of these operators."""
    return bool(node.domain == DOMAIN)
