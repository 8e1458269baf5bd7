"""Operators that compute each element by itself, with broadcasting, and what they do to elements that are followed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from flextune.importing.shapes.arithmetic import Arithmetic, Element
from flextune.importing.shapes.call import Call, broadcast
from flextune.importing.shapes.ratio import ONE, ZERO, Ratio
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Elements, Known, Tracked, is_small

_BOOL = onnx.TensorProto.BOOL
Binary = Callable[[Arithmetic, Ratio, Ratio], Element]
Unary = Callable[[Arithmetic, Ratio], Element]


@shape_rule(
    "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp",
    "Gelu", "HardSigmoid", "HardSwish", "Hardmax", "LRN", "LeakyRelu", "Log", "LogSoftmax", "LpNormalization",
    "MeanVarianceNormalization", "Mish", "Reciprocal", "Relu", "Selu", "Shrink", "Sigmoid", "Sin", "Sinh", "Softmax",
    "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu", "InstanceNormalization",
    "GroupNormalization", "RMSNormalization", "Trilu", "CumProd", "TensorScatter", "RotaryEmbedding",
)  # fmt: skip
def same_shape(call: Call) -> Tracked:
    return call.like(0)


@shape_rule("IsInf", "IsNaN")
def same_shape_of_booleans(call: Call) -> Tracked:
    return call.like(0).of_type(_BOOL)


@shape_rule("OptionalHasElement")
def has_element(_: Call) -> Tracked:
    return Tracked(_BOOL, ())


@shape_rule("Identity", "Optional", "OptionalGetElement")
def identity(call: Call) -> Known:
    found = call.inputs[0]
    return call.input(0) if found is None else found


def _mapped(function: Unary) -> Callable[[Call], Tracked]:
    def rule(call: Call) -> Tracked:
        result = call.like(0)
        return _with_elements(call, result, function, result.dtype)

    return rule


_UNARY: dict[str, Unary] = {
    "Abs": Arithmetic.absolute,
    "Ceil": Arithmetic.ceil,
    "Floor": Arithmetic.floor,
    "Neg": Arithmetic.negated,
    "Not": lambda _, a: Arithmetic.inverted(a),
    "Round": Arithmetic.round,
    "Sign": Arithmetic.sign,
}
for _name, _function in _UNARY.items():
    shape_rule(_name)(_mapped(_function))


@shape_rule("Cast")
def cast(call: Call) -> Tracked:
    to = call.attribute("to", 0)
    result = call.like(0).of_type(to)
    return _with_elements(call, result, lambda arithmetic, a: arithmetic.cast(a, to), call.input(0).dtype)


@shape_rule("CastLike")
def cast_like(call: Call) -> Tracked:
    to = call.input(1).dtype
    result = call.like(0).of_type(to)
    return _with_elements(call, result, lambda arithmetic, a: arithmetic.cast(a, to), call.input(0).dtype)


def _with_elements(call: Call, result: Tracked, function: Unary, dtype: int) -> Tracked:
    known = call.input(0).elements
    if known is None:
        return result
    arithmetic = Arithmetic(dtype, call.scope.dims)
    return Tracked(result.dtype, result.shape, _each(lambda a: function(arithmetic, a), known))


def _each(function: Callable[..., Element], *operands: Elements, partly: bool = False) -> Elements:
    """A function of every element, broadcast. Nothing is known of what an unknown one is part of, unless `partly`."""
    arrays = np.broadcast_arrays(*operands)
    found = np.empty(arrays[0].shape, object)
    for index in np.ndindex(found.shape):
        values = [array[index] for array in arrays]
        found[index] = None if None in values and not partly else function(*values)
    return found


def _folded(function: Binary, dtype: int | None = None) -> Callable[[Call], Tracked]:
    """The rule of an operator on two or more operands."""

    def rule(call: Call) -> Tracked:
        shape = broadcast(call, *(call.shape(position) for position in range(len(call.inputs))))
        kind = call.input(0).dtype
        result = Tracked(kind if dtype is None else dtype, shape)
        operands = [call.input(position).elements for position in range(len(call.inputs))]
        known = [each for each in operands if each is not None]
        if len(known) < len(operands) or result.static is None or not is_small(result.static):
            return result
        arithmetic, found = Arithmetic(kind, call.scope.dims), known[0]
        for other in known[1:]:
            found = _each(lambda a, b: function(arithmetic, a, b), found, other)
        return Tracked(result.dtype, shape, found)

    return rule


def _unknown(*_: object) -> Element:
    return None


_FOLDED: dict[str, Binary] = {
    "Add": Arithmetic.add, "BitShift": _unknown, "BitwiseAnd": _unknown, "BitwiseOr": _unknown, "BitwiseXor": _unknown,
    "Div": Arithmetic.divide, "Max": Arithmetic.largest, "Mean": _unknown, "Min": Arithmetic.smallest,
    "Mod": Arithmetic.modulo, "Mul": Arithmetic.multiply, "Pow": _unknown, "Sub": Arithmetic.subtract,
    "Sum": Arithmetic.add,
}  # fmt: skip
_BOOLEAN: dict[str, Binary] = {
    "And": lambda _, a, b: ONE if a == b == ONE else ZERO,
    "Equal": Arithmetic.equal,
    "Greater": lambda arithmetic, a, b: arithmetic.less(b, a),
    "GreaterOrEqual": lambda arithmetic, a, b: arithmetic.less_or_equal(b, a),
    "Less": Arithmetic.less,
    "LessOrEqual": Arithmetic.less_or_equal,
    "Or": lambda _, a, b: ZERO if a == b == ZERO else ONE,
    "Xor": lambda _, a, b: ZERO if a == b else ONE,
}
for _operator, _binary in _FOLDED.items():
    shape_rule(_operator)(_folded(_binary))
for _operator, _binary in _BOOLEAN.items():
    shape_rule(_operator)(_folded(_binary, _BOOL))


@shape_rule("PRelu")
def parametric(call: Call) -> Tracked:
    return call.like(0)


@shape_rule("Clip")
def clip(call: Call) -> Tracked:
    result, limits = call.like(0), [call.input(each) for each in (1, 2) if call.given(each)]
    known = call.input(0).elements
    if known is None or call.has("min") or call.has("max") or any(limit.elements is None for limit in limits):
        return result
    arithmetic = Arithmetic(result.dtype, call.scope.dims)
    for position, choose in ((1, arithmetic.largest), (2, arithmetic.smallest)):
        if call.given(position):
            known = _each(choose, known, call.elements(position))
    return Tracked(result.dtype, result.shape, known)


@shape_rule("Where")
def where(call: Call) -> Tracked:
    shape = broadcast(call, call.shape(0), call.shape(1), call.shape(2))
    result = Tracked(call.input(1).dtype, shape)
    operands = [call.input(position).elements for position in range(3)]
    known = [each for each in operands if each is not None]
    if len(known) < 3 or result.static is None or not is_small(result.static):
        return result
    return Tracked(result.dtype, shape, _each(_chosen, *known, partly=True))


def _chosen(condition: Element, yes: Element, no: Element) -> Element:
    if condition is None:
        return yes if yes == no else None
    return yes if condition == ONE else no
