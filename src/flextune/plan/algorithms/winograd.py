"""Winograd as another implementation of a 3 x 3 convolution: where it applies, and the call to put instead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax

from flextune.plan.algorithms.winograd_program import WinogradShape, winograd_prim_func
from flextune.plan.algorithms.winograd_transforms import TAPS, TRANSFORMS, transforms
from flextune.tvm_types import Expression, RelaxCall, RelaxExpr

_CHANNEL_MULTIPLE = 8
_MOST_ARITHMETIC = 0.8
_LEAST_FLOPS_PER_BYTE = 10
_TRANSFORM_FLOPS_PER_POINT = 4


@dataclass(frozen=True, slots=True)
class ConvolutionFacts:
    """One two-dimensional convolution."""

    data_shape: tuple[int, ...]
    """In NHWC."""
    weight_shape: tuple[int, ...]
    """In HWIO."""
    pads: tuple[int, int, int, int]
    """Zeros added at the top, left, bottom, right."""
    strides: tuple[int, int] = (1, 1)
    """Down and to the right."""
    dilations: tuple[int, int] = (1, 1)
    """Down and to the right."""
    groups: int = 1
    """Of channels, each with weights of its own."""
    dtype: str = "float32"
    """Of all its elements."""
    constant_weights: bool = True
    """Whether its weights are known when the model is built."""

    @property
    def is_plain(self) -> bool:
        """Whether it is a float32 convolution of 3 x 3, stride 1, one group, with weights known beforehand."""
        return (
            self.dtype == "float32"
            and self.constant_weights
            and len(self.data_shape) == len(self.weight_shape) == 4
            and self.weight_shape[:2] == (TAPS, TAPS)
            and self.strides == self.dilations == (1, 1)
            and self.groups == 1
        )

    @property
    def shape(self) -> WinogradShape:
        """For a plain convolution."""
        batch, height, width, ci = self.data_shape
        return WinogradShape(batch, height, width, ci, self.weight_shape[3], self.pads)


def winograd_sizes(facts: ConvolutionFacts) -> tuple[int, ...]:
    """The outputs per tile edge (2, 4) that are worth a measurement for this convolution; () where none is.

    Not worth it: channels that vectors do not divide, less than a fifth of the arithmetic saved (tiles that reach
    beyond the image count), or transformed weights so large that fetching them takes as long as the direct form.
    """
    if not facts.is_plain or min(*facts.data_shape[1:3], *facts.weight_shape[2:]) < 1:
        return ()
    _, height, width, ci = facts.data_shape
    if ci % _CHANNEL_MULTIPLE or facts.weight_shape[3] % _CHANNEL_MULTIPLE:
        return ()
    out = (height + facts.pads[0] + facts.pads[2] - TAPS + 1, width + facts.pads[1] + facts.pads[3] - TAPS + 1)
    return tuple(outputs for outputs in TRANSFORMS if min(out) >= outputs and _pays(facts.shape, outputs))


def _pays(shape: WinogradShape, outputs: int) -> bool:
    points = transforms(outputs).inputs ** 2
    tiles = shape.batch * math.prod(shape.tiles(outputs))
    direct = 2 * TAPS * TAPS * shape.batch * shape.out_height * shape.out_width * shape.ci * shape.co
    products = 2 * points * tiles * shape.ci * shape.co
    around = _TRANSFORM_FLOPS_PER_POINT * points * tiles * (shape.ci + shape.co)
    weight_bytes = 4 * points * shape.ci * shape.co
    return products + around <= _MOST_ARITHMETIC * direct and weight_bytes * _LEAST_FLOPS_PER_BYTE <= direct


def convolution_facts(call: RelaxCall) -> ConvolutionFacts | None:
    """What a Relax `nn.conv2d` in NHWC computes; None for any other expression, and for shapes that are not numbers."""
    if getattr(getattr(call, "op", None), "name", "") != "relax.nn.conv2d":
        return None
    attrs, (data, weight) = call.attrs, call.args
    if (attrs.data_layout, attrs.kernel_layout) != ("NHWC", "HWIO") or (attrs.out_layout or "NHWC") != "NHWC":
        return None
    shapes = [_static_shape(data), _static_shape(weight)]
    if None in shapes or str(data.ty.dtype) != str(weight.ty.dtype):
        return None
    pads = [int(pad) for pad in attrs.padding]
    top, left, bottom, right = pads if len(pads) == 4 else (*pads, *pads) if len(pads) == 2 else (pads[0],) * 4
    return ConvolutionFacts(
        shapes[0] or (),
        shapes[1] or (),
        (top, left, bottom, right),
        (int(attrs.strides[0]), int(attrs.strides[1])),
        (int(attrs.dilation[0]), int(attrs.dilation[1])),
        int(attrs.groups),
        str(data.ty.dtype),
        isinstance(weight, tvm.ir.GenericConst),
    )


def winograd_call(builder: relax.BlockBuilder, call: RelaxCall, outputs: int) -> RelaxExpr:
    """The `call_tir` that computes what the plain convolution `call` does, by F(outputs x outputs, 3 x 3).

    The PrimFunc is added to the builder's module; it can be fused with element-wise operators after it, as a
    convolution can. The weights are transformed here, in float64 and rounded once; they are the second argument.
    """
    facts = convolution_facts(call)
    assert facts is not None
    assert facts.is_plain
    data, weight = call.args
    function = winograd_prim_func(facts.shape, outputs, "int64").without_attr("global_symbol")
    transformed = transforms(outputs).transform_weights(np.asarray(np.from_dlpack(weight.value), np.float32))
    name = builder.add_func(function, "winograd_conv2d")
    shape = (facts.shape.batch, facts.shape.out_height, facts.shape.out_width, facts.shape.co)
    return relax.call_tir(name, [data, relax.const(transformed, "float32")], relax.TensorType(shape, "float32"))


def _static_shape(expression: RelaxExpr) -> tuple[int, ...] | None:
    extents: Sequence[Expression] = getattr(expression.ty, "shape", None) or ()
    if not extents or not all(isinstance(extent, tvm.tirx.IntImm) for extent in extents):
        return None
    return tuple(int(extent) for extent in extents)
