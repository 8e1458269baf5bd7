"""Gather and scatter: Relax operators with computed indices, as loops that stay inside the tensor whatever these are.

TVM's own trust them: one index out of range reads or overwrites memory that is not the tensor's. Here reading out of
range gives NaN, or the nearest element where the type has no NaN, and writing out of range changes nothing. (ONNX calls
such indices an error, of which a compiled kernel has no way to tell.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tvm
from tvm import relax, te, tirx, topi
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as script

from flextune.lowering.mutation import mutated
from flextune.tvm_types import Buffer, Expression, RelaxBuilder, RelaxCall, RelaxExpr, Statement, Tensor

_REDUCTIONS: dict[str, Callable[[Expression, Expression], Expression]] = {
    "update": lambda _, new: new,
    "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new,
    "min": tirx.min,
    "max": tirx.max,
}


def _take(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
    """Slices along an axis."""
    data, indices = call.args
    if call.attrs.axis is None or not hasattr(indices.ty, "shape"):
        return call.op.get_attr("FLegalize")(builder, call)
    axis = int(call.attrs.axis) % len(data.ty.shape)

    def compute(tensor: Tensor, indices: Tensor) -> Tensor:
        count = len(indices.shape)

        def element(*index: Expression) -> Expression:
            asked = {axis: indices(*index[axis : axis + count])}
            return _read(tensor, asked, (*index[:axis], None, *index[axis + count :]))

        return te.compute(tuple(call.ty.shape), element, name="take")

    return builder.call_te(compute, data, indices, primfunc_name_hint="take")


def _gather_elements(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
    """Elements whose index along an axis is given."""
    data, indices = call.args
    axis = int(call.attrs.axis) % len(data.ty.shape)

    def compute(tensor: Tensor, indices: Tensor) -> Tensor:
        def element(*index: Expression) -> Expression:
            return _read(tensor, {axis: indices(*index)}, index)

        return te.compute(tuple(indices.shape), element, name="gather_elements")

    return builder.call_te(compute, data, indices, primfunc_name_hint="gather_elements")


def _gather_nd(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
    """Slices whose indices along the axes after the first `batch_dims` ones are given by the last axis of `indices`."""
    data, indices = call.args
    batch, depth = int(call.attrs.batch_dims), indices.ty.shape[-1]
    if not isinstance(depth, tirx.IntImm):
        return call.op.get_attr("FLegalize")(builder, call)

    def compute(tensor: Tensor, indices: Tensor) -> Tensor:
        outer = len(indices.shape) - 1

        def element(*index: Expression) -> Expression:
            asked = {batch + axis: indices(*index[:outer], axis) for axis in range(int(depth))}
            return _read(tensor, asked, (*index[:batch], *[None] * len(asked), *index[outer:]))

        shape = (*indices.shape[:outer], *tensor.shape[batch + int(depth) :])
        return te.compute(shape, element, name="gather_nd")

    return builder.call_te(compute, data, indices, primfunc_name_hint="gather_nd")


def _scatter_elements(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
    """Updates of elements whose index along an axis is given; a negative one counts from the end."""
    data, indices, updates = call.args
    axis = int(call.attrs.axis) % len(data.ty.shape)
    if not _is_static(data, indices, updates):
        return call.op.get_attr("FLegalize")(builder, call)

    def compute(tensor: Tensor, indices: Tensor, update: Tensor) -> Tensor:
        shape, extents = _sizes(tensor), _sizes(indices)

        def element(position: Expression) -> Expression:
            index = _index(position, extents)
            asked = indices(*index)
            asked = tirx.Select(asked < 0, asked + tirx.const(shape[axis], indices.dtype), asked)
            return _row({each: asked if each == axis else index[each] for each in range(len(shape))}, shape)

        rows = te.compute((math.prod(extents),), element, name="rows")
        return _scattered(tensor, rows, topi.reshape(update, (math.prod(extents), 1)), str(call.attrs.reduction))

    return builder.call_te(compute, data, indices, updates, primfunc_name_hint="scatter_elements")


def _scatter_nd(builder: RelaxBuilder, call: RelaxCall) -> RelaxExpr:
    """Updates of slices whose indices along the first axes are given by the last axis of `indices`."""
    data, indices, updates = call.args
    if not _is_static(data, indices, updates):
        return call.op.get_attr("FLegalize")(builder, call)

    def compute(tensor: Tensor, indices: Tensor, update: Tensor) -> Tensor:
        *extents, depth = _sizes(indices)
        shape = _sizes(tensor)

        def element(position: Expression) -> Expression:
            index = _index(position, extents)
            return _row({axis: indices(*index, axis) for axis in range(depth)}, shape[:depth])

        count = math.prod(extents)
        rows = te.compute((count,), element, name="rows")
        return _scattered(
            tensor, rows, topi.reshape(update, (count, math.prod(shape[depth:]))), str(call.attrs.reduction)
        )

    return builder.call_te(compute, data, indices, updates, primfunc_name_hint="scatter_nd")


def _read(tensor: Tensor, asked: dict[int, Expression], index: Sequence[Expression]) -> Expression:
    """The element of a tensor at `index`, whose axes in `asked` have computed indices."""
    nearest, inside = list(index), []
    for axis, computed in asked.items():
        dtype = str(computed.ty)
        size = tirx.Cast(dtype, tensor.shape[axis])
        nearest[axis] = tirx.Max(tirx.Min(computed, size - 1), tirx.const(0, dtype))
        inside += [computed >= 0, computed < size]
    found = tensor(*nearest)
    if not inside or not str(tensor.dtype).startswith("float"):
        return found
    return tirx.Select(tirx.all(*inside), found, tirx.const(math.nan, tensor.dtype))


def _row(indices: dict[int, Expression], shape: Sequence[int]) -> Expression:
    """The number of the slice at these indices of the first axes, -1 if one of them is out of range."""
    inside, row = [], tirx.const(0, "int64")
    for axis, size in enumerate(shape):
        wide = tirx.Cast("int64", indices[axis])
        inside += [wide >= 0, wide < size]
        row = row * size + wide
    return tirx.Select(tirx.all(*inside), row, tirx.const(-1, "int64")) if inside else row


def _scattered(tensor: Tensor, rows: Tensor, updates: Tensor, reduction: str) -> Tensor:
    """The tensor with `updates`, (count, elements of a row), brought into its rows, one after the other."""
    shape, (count, width) = tuple(tensor.shape), _sizes(updates)
    size, combined = math.prod(_sizes(tensor)), _REDUCTIONS[reduction]

    def loops(ins: Sequence[Buffer], outs: Sequence[Buffer]) -> Statement:
        old, row, new, out = map(script.buffer_proxy, (*ins, outs[0]))
        with IRBuilder() as built:
            with script.seq_scope():
                with script.serial(0, size) as each:
                    out[each] = old[each]
                with (
                    script.serial(0, count) as update,
                    script.If(row[update] >= 0),
                    script.Then(),
                    script.serial(0, width) as column,
                ):
                    at = row[update] * width + tirx.Cast("int64", column)
                    out[at] = combined(out[at], new[update * width + column])
            return built.get()

    return te.extern(
        [shape],
        [tensor, rows, updates],
        loops,
        dtype=tensor.dtype,
        out_buffers=[tirx.decl_buffer(shape, tensor.dtype, "scattered", layout=None)],
        name="scatter",
    )


def _index(position: Expression, extents: Sequence[int]) -> list[Expression]:
    """The index of the element that is `position`-th in a tensor of these extents."""
    index: list[Expression] = []
    for extent in reversed(extents):
        index.insert(0, position % extent)
        position = position // extent
    return index


def _sizes(tensor: Tensor) -> tuple[int, ...]:
    return tuple(map(int, tensor.shape))


def _is_static(*values: RelaxExpr) -> bool:
    return all(hasattr(value.ty, "shape") and all(map(_is_int, value.ty.shape)) for value in values)


def _is_int(size: Expression) -> bool:
    return isinstance(size, tirx.IntImm)


GATHER_SCATTER: dict[str, Callable[[RelaxBuilder, RelaxCall], RelaxExpr]] = {
    "relax.take": _take,
    "relax.gather_elements": _gather_elements,
    "relax.gather_nd": _gather_nd,
    "relax.scatter_elements": _scatter_elements,
    "relax.scatter_nd": _scatter_nd,
}
"""For `relax.transform.LegalizeOps`."""


def with_checked_indices(module: tvm.IRModule) -> tvm.IRModule:
    """No operator trusts its indices, also where TVM itself works out what is constant.

    before: take(x, i, mode="fast")   -->   after: take(x, i, mode="nan"), or "clip" where the type has no NaN
    """
    return mutated(module, _Checked(module))


@relax.expr_functor.mutator
class _Checked(relax.PyExprMutator):  # type: ignore[misc]
    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        if getattr(call.op, "name", "") != "relax.take" or call.attrs.mode != "fast":
            return call
        mode = "nan" if str(call.args[0].ty.dtype).startswith("float") else "clip"
        return relax.op.take(*call.args, axis=call.attrs.axis, mode=mode)
