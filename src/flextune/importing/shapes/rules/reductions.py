"""Sums, means, extremes and positions along axes."""

from __future__ import annotations

from functools import reduce

import numpy as np
import onnx

from flextune.importing.binding import REDUCTIONS
from flextune.importing.shapes.arithmetic import Arithmetic, Element
from flextune.importing.shapes.call import Call, Rule, positive_axis
from flextune.importing.shapes.ratio import Ratio
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import INTEGERS, Elements, Tracked
from flextune.workload.dim_expr import DimExpr

_ONE = DimExpr.of(1)


def _rule(name: str) -> Rule:
    def rule(call: Call) -> Tracked:
        source = call.shape(0)
        axes = call.axes(1)
        if not axes:
            axes = () if call.attribute("noop_with_empty_axes", 0) else tuple(range(len(source)))
        gone = sorted({positive_axis(axis, len(source)) for axis in axes})
        result = call.like(0, _without(call, gone))
        return Tracked(result.dtype, result.shape, _reduced(call, name, gone, result))

    return rule


def _without(call: Call, axes: list[int]) -> list[DimExpr]:
    keeps = call.attribute("keepdims", 1)
    return [_ONE if axis in axes else size for axis, size in enumerate(call.shape(0)) if keeps or axis not in axes]


def _reduced(call: Call, name: str, axes: list[int], result: Tracked) -> Elements | None:
    elements, static = call.input(0).elements, result.static
    operations = {
        "Sum": Arithmetic.add,
        "Prod": Arithmetic.multiply,
        "Max": Arithmetic.largest,
        "Min": Arithmetic.smallest,
    }
    if (
        elements is None
        or static is None
        or name not in operations
        or result.dtype not in INTEGERS
        or not elements.size
    ):
        return None
    arithmetic, operation = Arithmetic(result.dtype, call.scope.dims), operations[name]

    def combined(a: Element, b: Element) -> Element:
        return None if a is None or b is None else operation(arithmetic, a, b)

    kept = [axis for axis in range(elements.ndim) if axis not in axes]
    rows = elements.transpose(*kept, *axes).reshape(*(elements.shape[axis] for axis in kept), -1)
    found = np.empty(rows.shape[:-1], object)
    for index in np.ndindex(found.shape):
        found[index] = reduce(combined, rows[index])
    return found.reshape(static)


for _name in REDUCTIONS:
    shape_rule(f"Reduce{_name}")(_rule(_name))


@shape_rule("ArgMax", "ArgMin")
def position_of_extreme(call: Call) -> Tracked:
    axis = positive_axis(call.attribute("axis", 0), call.rank(0))
    return Tracked(onnx.TensorProto.INT64, tuple(_without(call, [axis])))


@shape_rule("CumSum")
def cumulative(call: Call) -> Tracked:
    result, elements = call.like(0), call.input(0).elements
    if elements is None or elements.ndim != 1 or call.attribute("reverse", 0) or call.attribute("exclusive", 0):
        return result
    arithmetic, running, sums = Arithmetic(result.dtype, call.scope.dims), Ratio.of(0), []
    for element in elements:
        total = None if element is None else arithmetic.add(running, element)
        if total is None:
            return result
        running = total
        sums.append(total)
    found = np.empty(len(sums), object)
    found[:] = sums
    return Tracked(result.dtype, result.shape, found)
