"""Kernels over rows: leading axes that all tensors of a group have alike become one axis of its kernel.

before:  y = group(x);                        group(p0: (batch, seq, 768)) = gelu(matmul(p0, w))
after:   y = reshape(group(reshape(x)));      group(p0: (rows, 768)) = gelu(matmul(p0, w)), with batch * seq rows

Of numbers the rules see which axis is long. Of symbolic sizes none is: a tile along the batch computes nothing but
padding where the batch is 1, and one along the sequence where that is short.
"""

from __future__ import annotations

import functools
import operator as arithmetic
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import tvm_ffi
from tvm import relax, tirx
from tvm.ir import Call

from flextune.analysis.symbols import is_symbolic
from flextune.lowering.operator_graph import Operator, leaves
from flextune.lowering.operator_kinds import Kind, operator_name
from flextune.tvm_types import Expression, RelaxExpr, RelaxType

_Extents = tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MergedRows:
    """The leading axes of a group's tensors that are one axis in its kernel."""

    axes: _Extents

    @classmethod
    def of(cls, operators: Sequence[Operator], outer: Iterable[RelaxExpr]) -> MergedRows | None:
        """For these operators, which read `outer`. None where an operator tells the axes apart, or all are numbers."""
        shape = _shape(operators[-1].variable)
        if shape is None or len(shape) < 3 or not any(map(is_symbolic, shape[:-1])):
            return None
        rows = cls(shape[:-1])
        known = all(map(rows._is_known, (*outer, *(each.variable for each in operators))))
        return rows if known and all(map(rows._keeps_rows, operators)) else None

    def shape(self, tensor: RelaxExpr) -> _Extents:
        """A tensor's shape in the kernel."""
        shape = _shape(tensor)
        assert shape is not None
        if len(shape) != len(self.axes) + 1:
            return shape
        return functools.reduce(arithmetic.mul, shape[:-1]), shape[-1]

    def type(self, tensor: RelaxExpr) -> RelaxType:
        """A tensor's type in the kernel."""
        return relax.TensorType(list(self.shape(tensor)), str(tensor.ty.dtype))

    def is_changed(self, tensor: RelaxExpr) -> bool:
        """Whether its shape in the kernel is another one."""
        return len(self.shape(tensor)) != len(_shape(tensor) or ())

    def _is_known(self, tensor: RelaxExpr) -> bool:
        """Whether it has these axes, or 1 for each of them; or none, which is asked where it is read."""
        shape = _shape(tensor)
        if shape is None:
            return False
        lead = shape[:-1]
        return len(shape) <= 2 or (
            len(lead) == len(self.axes)
            and (all(map(tvm_ffi.structural_equal, lead, self.axes)) or all(map(_is_one, lead)))
        )

    def _keeps_rows(self, operator: Operator) -> bool:
        """Whether each row of the result is made of the same row of operands that have rows."""
        if not isinstance(operator.value, Call) or operator_name(operator.value) != operator.name:
            return False
        ranks = [len(_shape(leaf) or ()) for leaf in leaves(operator.value)]
        with_rows = len(self.axes) + 1
        if operator.name == "matmul":
            return ranks == [with_rows, 2]
        if operator.kind is Kind.ELEMENTWISE:
            return all(rank in (0, 1, with_rows) for rank in ranks)
        if operator.name not in _ALONG_ROWS:
            return False
        return ranks[0] == with_rows and _is_along_rows(operator.value, with_rows)


def over_rows(call: RelaxExpr) -> RelaxExpr:
    """A call whose operands are merged: what says an axis says the last one."""
    if not isinstance(call, Call):
        return call
    write = _ALONG_ROWS.get(operator_name(call))
    return call if write is None else write(call)


_ALONG_ROWS: dict[str, Callable[[RelaxExpr], RelaxExpr]] = {
    "nn.softmax": lambda call: relax.op.nn.softmax(call.args[0], -1),
    "nn.log_softmax": lambda call: relax.op.nn.log_softmax(call.args[0], -1),
    "nn.layer_norm": lambda call: relax.op.nn.layer_norm(
        *call.args,
        axes=-1,
        epsilon=float(call.attrs.epsilon),
        center=bool(call.attrs.center),
        scale=bool(call.attrs.scale),
    ),
    "nn.rms_norm": lambda call: relax.op.nn.rms_norm(*call.args, axes=-1, epsilon=float(call.attrs.epsilon)),
}
"""Operators along the last axis, written anew for other ranks."""


def _is_along_rows(call: RelaxExpr, rank: int) -> bool:
    """Whether it normalises along the last axis and no other."""
    axes = [call.attrs.axis] if hasattr(call.attrs, "axis") else list(call.attrs.axes)
    return [int(axis) % rank for axis in axes] == [rank - 1]


def _shape(tensor: RelaxExpr) -> _Extents | None:
    shape = getattr(tensor.ty, "shape", None)
    return tuple(shape.values) if isinstance(shape, relax.ShapeExpr) else None


def _is_one(extent: Expression) -> bool:
    return isinstance(extent, tirx.IntImm) and int(extent) == 1
