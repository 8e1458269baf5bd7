"""Quantised ONNX models (QuantizeLinear and DequantizeLinear around operators) on integers.

before:  y = conv2d(dequantize(q, s, z), dequantize(const w, sw, 0))
after:   y = float32(conv2d(q, const w): int32 - const z * sum(w)) * const s * sw

Values between operators are bytes without sign: signed ones are moved by 128, and their zero points with them. Products
are u8 x s8 summed in int32, exactly; the zero point's part of the sum is a constant, at the border of a padded image
one that knows which taps fall outside. Scaling, bias, activations and rounding are float32 and end up in the kernel of
the product. Pooling, reshapes and concatenations of equally quantised values work on the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import tvm
from tvm import relax

from flextune.lowering.calls import constant_array
from flextune.lowering.emit import substituted
from flextune.lowering.operator_graph import variables_read
from flextune.lowering.precision.rewrite import is_straight
from flextune.lowering.precision.zero_points import convolution_offset
from flextune.tvm_types import RelaxCall, RelaxConstant, RelaxExpr, RelaxVar

BYTE_SHIFT = 128
"""Between a signed byte and its unsigned form."""

MOVEMENTS = frozenset(
    {
        "relax.reshape",
        "relax.permute_dims",
        "relax.squeeze",
        "relax.expand_dims",
        "relax.flatten",
        "relax.nn.max_pool2d",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class _Bytes:
    """A dequantised value: unsigned bytes, the scale and zero point of all of them."""

    value: RelaxExpr
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, eq=False)
class _Weights:
    """A dequantised constant: signed bytes, and the scales of one axis (None: one scale)."""

    values: np.ndarray
    scales: np.ndarray
    axis: int | None

    def dequantized(self) -> np.ndarray:
        shape = [-1 if axis == self.axis else 1 for axis in range(self.values.ndim)]
        scales = self.scales.reshape(()) if self.axis is None else self.scales.reshape(shape)
        return np.asarray(self.values.astype(np.float32) * scales)


def integer_products(module: tvm.IRModule) -> tvm.IRModule:
    """Take products of quantised tensors from integers (see the module text); a model without any stays as it is."""
    calls = [binding.value for block in module["main"].body.blocks for binding in block.bindings]
    if not any(_name(call) == "relax.dequantize" for call in calls) or not is_straight(module["main"]):
        return module
    return relax.transform.DeadCodeElimination(["main"])(_Rewriter(module).run())


class _Rewriter:
    def __init__(self, module: tvm.IRModule) -> None:
        self.main = module["main"]
        others = {name: function for name, function in module.functions_items() if name.name_hint != "main"}
        self.builder = relax.BlockBuilder(tvm.IRModule(others))
        self.values: dict[RelaxVar, RelaxExpr] = {}
        self.bytes: dict[RelaxVar, _Bytes] = {}
        self.weights: dict[RelaxVar, _Weights] = {}
        self.shifted: set[RelaxVar] = set()
        """Quantised values that are kept moved by `BYTE_SHIFT`."""
        self.joined: dict[RelaxVar, tuple[tuple[RelaxVar, ...], int]] = {}
        """Concatenations of differently quantised values that are only quantised again: done on the bytes."""
        self.readers: dict[RelaxVar, list[str]] = {}

    def run(self) -> tvm.IRModule:
        bindings = [binding for block in self.main.body.blocks for binding in block.bindings]
        for binding in bindings:
            for variable in variables_read(binding.value):
                self.readers.setdefault(variable, []).append(_name(binding.value))
        for variable in variables_read(self.main.body.body):
            self.readers.setdefault(variable, []).append("return")
        with self.builder.function("main", list(self.main.params), attrs=dict(self.main.attrs or {})):
            with self.builder.dataflow():
                for binding in bindings:
                    self._binding(binding.var, binding.value)
                result = self.builder.emit_output(self._plain(self.main.body.body))
            self.builder.emit_func_output(result)
        return self.builder.get()

    def _binding(self, variable: RelaxVar, call: RelaxCall) -> None:
        rewrite = {
            "relax.dequantize": self._dequantize,
            "relax.quantize": self._quantize,
            "relax.nn.conv2d": self._convolution,
            "relax.matmul": self._matmul,
            "relax.concat": self._concat,
        }.get(_name(call), self._move if _name(call) in MOVEMENTS else None)
        if rewrite is None or not rewrite(variable, call):
            self.values[variable] = self.builder.emit(self._plain(call))

    def _plain(self, value: RelaxExpr) -> RelaxExpr:
        """The expression over what is known by now, with dequantised values in float32."""
        needed = {variable: self._float32(variable) for variable in variables_read(value)}
        return substituted(value, {**self.values, **needed})

    def _float32(self, variable: RelaxVar) -> RelaxExpr:
        if variable in self.weights:
            return relax.const(self.weights[variable].dequantized(), "float32")
        if variable not in self.bytes:
            return self.values.get(variable, variable)
        known = self.bytes[variable]
        value = self._emit(relax.op.astype(known.value, "float32"))
        if known.zero_point:
            value = self._emit(relax.op.subtract(value, _number(known.zero_point, value)))
        return self._emit(relax.op.multiply(value, _number(known.scale, value)))

    def _emit(self, expression: RelaxExpr) -> RelaxExpr:
        return self.builder.emit(expression)

    def _dequantize(self, variable: RelaxVar, call: RelaxCall) -> bool:
        source, scale, zero_point = call.args[0], constant_array(call.args[1]), constant_array(call.args[2])
        if scale is None or zero_point is None:
            return False
        constant = constant_array(source)
        if constant is not None:
            weights = _weights(constant, scale, zero_point, int(call.attrs.axis))
            if weights is None:
                return False
            self.weights[variable] = weights
            return True
        dtype = str(source.ty.dtype)
        if scale.size != 1 or dtype not in ("uint8", "int8"):
            return False
        value, shift = self.values.get(source, source), BYTE_SHIFT if dtype == "int8" else 0
        if shift and source not in self.shifted:
            wide = self._emit(relax.op.add(self._emit(relax.op.astype(value, "int32")), relax.const(shift, "int32")))
            value = self._emit(relax.op.astype(wide, "uint8"))
        self.bytes[variable] = _Bytes(value, float(scale.reshape(-1)[0]), int(zero_point.reshape(-1)[0]) + shift)
        return True

    def _quantize(self, variable: RelaxVar, call: RelaxCall) -> bool:
        source, scale, zero_point = call.args[0], constant_array(call.args[1]), constant_array(call.args[2])
        dtype = str(call.ty.dtype)
        only_dequantized = set(self.readers.get(variable, [])) <= {"relax.dequantize"}
        if scale is None or zero_point is None or scale.size != 1 or dtype not in ("uint8", "int8"):
            return False
        if dtype == "int8" and not only_dequantized:
            return False
        shift = BYTE_SHIFT if dtype == "int8" else 0
        wanted = _Bytes(None, float(scale.reshape(-1)[0]), int(zero_point.reshape(-1)[0]) + shift)
        if shift:
            self.shifted.add(variable)
        known = self.bytes.get(source)
        if known is not None and (known.scale, known.zero_point) == (wanted.scale, wanted.zero_point):
            self.values[variable] = known.value
        elif source in self.joined:
            fields, axis = self.joined[source]
            parts = [self._rounded(self._float32(field), wanted) for field in fields]
            self.values[variable] = self._emit(relax.op.concat(parts, axis))
        else:
            self.values[variable] = self._rounded(self._float32(source), wanted)
        return True

    def _rounded(self, value: RelaxExpr, wanted: _Bytes) -> RelaxExpr:
        """float32 as bytes: to the nearest multiple of the scale, moved by the zero point, within a byte."""
        value = self._emit(relax.op.round(self._emit(relax.op.multiply(value, _number(1.0 / wanted.scale, value)))))
        if wanted.zero_point:
            value = self._emit(relax.op.add(value, _number(wanted.zero_point, value)))
        value = self._emit(relax.op.minimum(self._emit(relax.op.maximum(value, _scalar(0.0))), _scalar(255.0)))
        return self._emit(relax.op.astype(value, "uint8"))

    def _convolution(self, variable: RelaxVar, call: RelaxCall) -> bool:
        data, weights = self.bytes.get(call.args[0]), self.weights.get(call.args[1])
        attrs = call.attrs
        if data is None or weights is None or weights.axis not in (None, 0):
            return False
        if (str(attrs.data_layout), str(attrs.kernel_layout)) != ("NCHW", "OIHW"):
            return False
        strides, padding, dilation = ([int(n) for n in each] for each in (attrs.strides, attrs.padding, attrs.dilation))
        product = relax.op.nn.conv2d(
            data.value,
            relax.const(weights.values, "int8"),
            strides,
            padding,
            dilation,
            int(attrs.groups),
            "NCHW",
            "OIHW",
            out_dtype="int32",
        )
        image = [int(size) for size in data.value.ty.shape][2:]
        offset = convolution_offset(weights.values, data.zero_point, image, strides, padding, dilation)
        self.values[variable] = self._scaled(product, offset, data.scale * weights.scales.reshape(1, -1, 1, 1))
        return True

    def _matmul(self, variable: RelaxVar, call: RelaxCall) -> bool:
        data, weights = self.bytes.get(call.args[0]), self.weights.get(call.args[1])
        if data is None or weights is None or weights.values.ndim != 2 or weights.axis not in (None, 1):
            return False
        product = relax.op.matmul(data.value, relax.const(weights.values, "int8"), out_dtype="int32")
        offset = data.zero_point * weights.values.astype(np.int32).sum(axis=0, dtype=np.int32)
        scales = data.scale * weights.scales.reshape(-1)
        self.values[variable] = self._scaled(product, offset, scales)
        return True

    def _scaled(self, product: RelaxCall, offset: np.ndarray, scales: np.ndarray) -> RelaxExpr:
        total = self._emit(product)
        if offset.any():
            total = self._emit(relax.op.subtract(total, relax.const(offset.astype(np.int32), "int32")))
        factor = relax.const(scales.astype(np.float32))
        return self._emit(relax.op.multiply(self._emit(relax.op.astype(total, "float32")), factor))

    def _move(self, variable: RelaxVar, call: RelaxCall) -> bool:
        """Operators that only move elements, or compare them, on the bytes."""
        source = call.args[0]
        if source in self.weights and _name(call) == "relax.permute_dims":
            return self._transpose(variable, call)
        known = self.bytes.get(source)
        if known is None:
            return False
        moved = self._emit(substituted(call, {**self.values, source: known.value}))
        self.bytes[variable] = replace(known, value=moved)
        return True

    def _transpose(self, variable: RelaxVar, call: RelaxCall) -> bool:
        weights = self.weights[call.args[0]]
        rank = weights.values.ndim
        order = list(range(rank))[::-1] if call.attrs.axes is None else [int(axis) % rank for axis in call.attrs.axes]
        axis = None if weights.axis is None else order.index(weights.axis)
        self.weights[variable] = replace(weights, values=np.transpose(weights.values, order), axis=axis)
        return True

    def _concat(self, variable: RelaxVar, call: RelaxCall) -> bool:
        fields = list(call.args[0].fields) if isinstance(call.args[0], tvm.ir.Tuple) else []
        parts = [self.bytes[field] for field in fields if field in self.bytes]
        if not parts or len(parts) < len(fields):
            return False
        if len({(part.scale, part.zero_point) for part in parts}) > 1:
            if set(self.readers.get(variable, [])) == {"relax.quantize"}:
                self.joined[variable] = (tuple(fields), int(call.attrs.axis))
            return variable in self.joined
        joined = self._emit(relax.op.concat([part.value for part in parts], call.attrs.axis))
        self.bytes[variable] = replace(parts[0], value=joined)
        return True


def _weights(constant: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int) -> _Weights | None:
    """A constant that is signed bytes once its zero points are subtracted; None if it is not."""
    if constant.dtype.kind not in "iu":
        return None
    along = None if scale.size == 1 else axis % constant.ndim
    shape = () if along is None else [-1 if each == along else 1 for each in range(constant.ndim)]
    points = zero_point.astype(np.int64).reshape(shape if zero_point.size > 1 else ())
    values = constant.astype(np.int64) - points
    if constant.dtype == np.int32:
        return _Weights(values.astype(np.int32), scale.astype(np.float32).reshape(-1), along)
    if values.min(initial=0) < -BYTE_SHIFT or values.max(initial=0) >= BYTE_SHIFT:
        return None
    return _Weights(values.astype(np.int8), scale.astype(np.float32).reshape(-1), along)


def _scalar(value: float) -> RelaxConstant:
    return relax.const(np.float32(value), "float32")


def _number(value: float, like: RelaxExpr) -> RelaxConstant:
    """A constant of the rank of `like`: a parameter of its kernel, which so is the same for all scales."""
    return relax.const(np.full((1,) * len(like.ty.shape), value, np.float32))


def _name(value: RelaxExpr) -> str:
    return str(getattr(getattr(value, "op", None), "name", ""))
