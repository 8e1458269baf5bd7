"""Transposes between NCHW and NHWC moved behind what works element by element, until they meet and cancel.

TVM's change of layout knows some operators; around each of the others it puts a transpose before and one behind.
"""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from flextune.lowering.mutation import bound_value, mutated
from flextune.lowering.operator_graph import is_constant, tensor_type
from flextune.lowering.operator_kinds import Kind, kind_of, operator_name
from flextune.tvm_types import RelaxCall, RelaxExpr

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_RANK = 4


def sink_image_transposes(module: tvm.IRModule) -> tvm.IRModule:
    """Let operators between images read NHWC where they read what was NHWC before.

    before: t = permute_dims(x, to NCHW); y = permute_dims(clip(t), to NHWC)   -->   after: y = clip(x)
    """
    module = relax.transform.CanonicalizeBindings()(mutated(module, _Sinker(module)))
    return relax.transform.DeadCodeElimination(["main"])(module)


@relax.expr_functor.mutator
class _Sinker(relax.PyExprMutator):  # type: ignore[misc]
    """`module` is the one that is rewritten: the kind of a call may depend on the function that it calls."""

    def __init__(self, module: tvm.IRModule) -> None:
        super().__init__(module)
        self._module = module

    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        if _axes(call) in (TO_NHWC, TO_NCHW):
            source = self._before(call.args[0], TO_NCHW if _axes(call) == TO_NHWC else TO_NHWC)
            return call if source is None else source
        if _axes(call) == (0, 1, 2, 3):
            return call.args[0]
        moved = self._moved_call(call)
        return call if moved is None else relax.op.permute_dims(self.builder_.emit(moved), list(TO_NCHW))

    def _moved_call(self, call: RelaxCall) -> RelaxExpr:
        """The call on tensors in NHWC, if all of its tensors are that before a transpose; None if not."""
        is_images = len(tensor_type(call)[0]) == _RANK and operator_name(call) != "call_tir"
        if not is_images or kind_of(call, self._module) is not Kind.ELEMENTWISE:
            return None
        arguments = [self._moved(argument) for argument in call.args]
        if any(each is None for each in arguments) or all(map(is_constant, arguments)):
            return None
        return tvm.ir.Call(call.op, arguments, call.attrs, call.ty_args)

    def _moved(self, argument: RelaxExpr) -> RelaxExpr:
        """An operand as it broadcasts onto images in NHWC; None where that takes another transpose."""
        bound = bound_value(self, argument)
        if not is_constant(bound):
            return self._before(argument, TO_NCHW) if isinstance(argument, relax.Var) else argument
        array = np.from_dlpack(bound.value)
        if array.size == 1:
            return argument
        whole = array.reshape((1,) * (_RANK - array.ndim) + array.shape)
        return relax.const(np.ascontiguousarray(whole.transpose(TO_NHWC)), str(argument.ty.dtype))

    def _before(self, argument: RelaxExpr, axes: tuple[int, ...]) -> RelaxExpr:
        """What a transpose by these axes reads; None for any other value."""
        value = bound_value(self, argument)
        return value.args[0] if _axes(value) == axes else None


def _axes(value: RelaxExpr) -> tuple[int, ...]:
    """The order of a transpose's axes; () for any other expression."""
    if operator_name(value) != "permute_dims" or value.attrs.axes is None:
        return ()
    return tuple(int(axis) for axis in value.attrs.axes)
