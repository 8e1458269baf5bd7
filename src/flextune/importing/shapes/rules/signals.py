"""Windows of signals and Fourier transforms."""

from __future__ import annotations

import onnx

from flextune.importing.shapes.call import Call, positive_axis
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Tracked
from flextune.workload.dim_expr import DimExpr


@shape_rule("BlackmanWindow", "HammingWindow", "HannWindow")
def window(call: Call) -> Tracked:
    length = call.size_or_fresh(0, "the length of a window")
    return Tracked(call.attribute("output_datatype", onnx.TensorProto.FLOAT), (length,))


@shape_rule("MelWeightMatrix")
def mel_weights(call: Call) -> Tracked:
    dtype = call.attribute("output_datatype", onnx.TensorProto.FLOAT)
    length, bins = call.size_or_fresh(1, "the length of a transform"), call.size_or_fresh(0, "the number of bins")
    return Tracked(dtype, (length // 2 + 1, bins))


@shape_rule("DFT")
def fourier(call: Call) -> Tracked:
    """The last dimension has real and imaginary parts; one side of a real signal is half of it and one more."""
    source = list(call.shape(0))
    chosen = call.attribute("axis", 1) if call.opset < 20 else call.integers(2)[0] if call.given(2) else -2
    axis = positive_axis(chosen, len(source))
    inverse, onesided = call.attribute("inverse", 0), call.attribute("onesided", 0)
    if call.given(1):
        source[axis] = call.size_or_fresh(1, "the length of a transform")
    elif inverse and onesided:
        source[axis] = (source[axis] - 1) * 2
    if onesided and not inverse:
        source[axis] = source[axis] // 2 + 1
    source[-1] = DimExpr.of(1 if inverse and onesided else 2)
    return call.like(0, source)


@shape_rule("STFT")
def short_time_fourier(call: Call) -> Tracked:
    batch, length, *_ = call.shape(0)
    step = call.size(1)
    frame = call.size_or_fresh(3, "the length of a frame") if call.given(3) else call.shape(2)[0]
    bins = frame // 2 + 1 if call.attribute("onesided", 1) else frame
    return call.like(0, (batch, (length - frame) // step + 1, bins, DimExpr.of(2)))
