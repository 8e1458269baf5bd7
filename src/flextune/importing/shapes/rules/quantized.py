"""Quantization of tensors as a whole; products of quantized tensors are among the products."""

from __future__ import annotations

import onnx

from flextune.importing.shapes.call import Call
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Tracked


@shape_rule("QuantizeLinear")
def quantize(call: Call) -> Tracked:
    declared = call.attribute("output_dtype", 0)
    dtype = call.input(2).dtype if call.given(2) else declared or onnx.TensorProto.UINT8
    return call.like(0).of_type(dtype)


@shape_rule("DequantizeLinear")
def dequantize(call: Call) -> Tracked:
    return call.like(0).of_type(call.attribute("output_dtype", 0) or call.input(1).dtype)


@shape_rule("DynamicQuantizeLinear")
def quantize_dynamically(call: Call) -> list[Tracked]:
    scale = Tracked(onnx.TensorProto.FLOAT, ())
    return [call.like(0).of_type(onnx.TensorProto.UINT8), scale, Tracked(onnx.TensorProto.UINT8, ())]
