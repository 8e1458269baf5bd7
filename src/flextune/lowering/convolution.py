"""Two-dimensional convolutions between any two layouts, as loops.

A convolution is where a layout changes for nothing: it reads its data element by element and writes whole vectors, so
data in NCHW and a result in NHWC are as good as both in one. TVM's own legalisation knows equal layouts only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tvm import relax, te, topi

from flextune.lowering.layout import Layout
from flextune.tvm_types import Expression, RelaxCall, RelaxExpr, Tensor

_TAPS = "HW"

Indices = Mapping[str, Expression]
"""Where an element is: N, H, W and C by letter, and `c` within a block of channels (None without blocks)."""


def weight_layout(data: Layout, result: Layout, depthwise: bool) -> str:
    """TVM's name of the weights' layout that fits: HWIO with the channels split as those of data and result are."""
    inner = f"{data.block}i" if data.block and not depthwise else ""
    return f"HWIO{inner}{result.block}o" if result.block else f"HWIO{inner}"


def mixed_convolution(builder: relax.BlockBuilder, call: RelaxCall) -> RelaxExpr:
    """A `nn.conv2d` whose layouts are a `Layout` each and whose weights are in `weight_layout`, as a PrimFunc."""
    attributes = call.attrs
    data, result = Layout.parse(str(attributes.data_layout)), Layout.parse(str(attributes.out_layout))
    strides, dilation = ([int(size) for size in each] for each in (attributes.strides, attributes.dilation))
    pads, depthwise = [int(size) for size in attributes.padding], int(attributes.groups) > 1

    def compute(tensor: Tensor, weight: Tensor) -> Tensor:
        height, width = data.axis(1), data.axis(2)
        before, after = [0] * len(tensor.shape), [0] * len(tensor.shape)
        (before[height], before[width]), (after[height], after[width]) = pads[:2], pads[2:]
        padded = topi.nn.pad(tensor, before, after, name="pad_temp") if any(pads) else tensor
        taps = [te.reduce_axis((0, weight.shape[axis]), f"r{name}") for axis, name in enumerate("yx")]
        blocks = te.reduce_axis((0, weight.shape[2]), "rc")
        inner = te.reduce_axis((0, data.block), "ri") if data.block and not depthwise else None

        def element(*index: Expression) -> Expression:
            place = _logical(result, index)
            rows = [place[letter] * strides[axis] + taps[axis] * dilation[axis] for axis, letter in enumerate(_TAPS)]
            channels = place if depthwise else {"C": blocks, "c": inner}
            source = {"N": place["N"], "H": rows[0], "W": rows[1], "C": channels["C"], "c": channels["c"]}
            tail = [each for each in (inner, place["c"]) if each is not None]
            first = 0 if depthwise else blocks
            term = padded(*_physical(data, source)) * weight(*taps, first, place["C"], *tail)
            reduced = taps if depthwise else [blocks, *taps, *([inner] if inner is not None else [])]
            return te.sum(term, axis=reduced)

        return te.compute(tuple(call.ty.shape), element, name="conv2d")

    return builder.call_te(compute, *call.args, primfunc_name_hint="conv2d")


def legalize_convolution(builder: relax.BlockBuilder, call: RelaxCall) -> RelaxExpr:
    """`mixed_convolution` where TVM's own legalisation does not know the layouts."""
    attributes = call.attrs
    layouts = {str(attributes.data_layout), str(attributes.out_layout or attributes.data_layout)}
    if layouts == {"NHWC"} or not str(attributes.kernel_layout).startswith("HWIO"):
        return call.op.get_attr("FLegalize")(builder, call)
    return mixed_convolution(builder, call)


def _logical(layout: Layout, index: Sequence[Expression]) -> Indices:
    return {**dict(zip(layout.order, index, strict=False)), "c": index[len(layout.order)] if layout.block else None}


def _physical(layout: Layout, place: Indices) -> tuple[Expression, ...]:
    plain = tuple(place[letter] for letter in layout.order)
    return (*plain, place["c"]) if layout.block else plain
