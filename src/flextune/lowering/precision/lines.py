"""Convolutions of images with an odd number of channels, along lines: for dot products of pairs.

In NHWC a line of an image is pixel after pixel, channel after channel, and kw pixels of c channels are kw * c
neighbours. Taken for an image of one channel, c times as wide, with windows that move c times as far, it is the same
convolution with one long sum in place of kw short ones. Pairs then fill 21 of 22 places where they filled 3 of 4:

    before: conv2d(x[n, h, w, 3], k[7, 7, 3, f], strides=(2, 2))
    after:  conv2d(reshape(x, [n, 1, h, 3 w]), k'[7, 21, 1, f], strides=(2, 6)) from NCHW to NHWC
"""

from __future__ import annotations

import math

import numpy as np
import tvm
from tvm import relax, tirx

from flextune.lowering.calls import is_constant
from flextune.lowering.mutation import mutated
from flextune.tvm_types import RelaxCall, RelaxExpr

_PAIR = 2
_WORTH = 1.1
"""How many times fewer pairs it has to be."""


def along_lines(module: tvm.IRModule) -> tvm.IRModule:
    """Write convolutions of few channels along lines, as such of one channel, where dot products gain from it."""
    return mutated(module, _Lines(module))


@relax.expr_functor.mutator
class _Lines(relax.PyExprMutator):  # type: ignore[misc]
    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        return _rewritten(call) if _is_plain(call) and _gain(call) >= _WORTH else call


def _is_plain(call: RelaxCall) -> bool:
    if str(getattr(call.op, "name", "")) != "relax.nn.conv2d" or not is_constant(call.args[1]):
        return False
    if not all(isinstance(size, tirx.IntImm) for size in call.args[0].ty.shape):
        return False
    attributes = call.attrs
    layouts = (str(attributes.data_layout), str(attributes.kernel_layout), str(attributes.out_layout or "NHWC"))
    in_one_piece = int(attributes.groups) == 1 and int(attributes.dilation[1]) == 1 and len(attributes.padding) == 4
    return layouts == ("NHWC", "HWIO", "NHWC") and in_one_piece


def _gain(call: RelaxCall) -> float:
    """Pairs of one line of the window, channels by themselves over all of it together."""
    _, width, channels, _ = (int(size) for size in call.args[1].ty.shape)
    return width * math.ceil(channels / _PAIR) / math.ceil(width * channels / _PAIR)


def _rewritten(call: RelaxCall) -> RelaxExpr:
    (data, weight), attributes = call.args, call.attrs
    images, height, width, channels = (int(size) for size in data.ty.shape)
    taps = np.from_dlpack(weight.value)
    top, left, bottom, right = (int(size) for size in attributes.padding)
    down, across = (int(size) for size in attributes.strides)
    return relax.op.nn.conv2d(
        relax.op.reshape(data, (images, 1, height, width * channels)),
        relax.const(taps.reshape(taps.shape[0], -1, 1, taps.shape[3]), str(weight.ty.dtype)),
        strides=(down, across * channels),
        padding=(top, left * channels, bottom, right * channels),
        dilation=(int(attributes.dilation[0]), 1),
        data_layout="NCHW",
        kernel_layout="HWIO",
        out_layout="NHWC",
    )
