"""Putting scheduled functions into a lowered model: calls redirected, constant weights packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tvm
from tvm import relax

from flextune.analysis.moves import described, move_of
from flextune.apply.kernel_names import kernel_name, of_workload
from flextune.errors import ScheduleError
from flextune.lowering.calls import is_call_tir, is_constant
from flextune.lowering.mutation import mutated
from flextune.lowering.regions import with_bodies
from flextune.schedule.packing import PackedInput

SCHEDULED = "tirx.is_scheduled"
"""Tells TVM's default schedules to leave a function alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """A scheduled PrimFunc, and which of its constant arguments it expects packed."""

    function: Any
    packs: tuple[PackedInput, ...] = ()
    workload_key: str | None = None
    """Of the workload that it is a kernel of, if it is one's."""


def replace_functions(module: tvm.IRModule, replacements: Mapping[str, Replacement]) -> tvm.IRModule:
    """A module whose calls of the named functions go to their replacements; functions without one stay.

    before: y = call_tir(conv, (x, const w))   -->   after: y = call_tir(conv_scheduled, (x, const pack(w)))
    """
    return relax.transform.DeadCodeElimination(with_bodies(module, ["main"]))(
        mutated(module, _Rewriter(module, replacements))
    )


@relax.expr_functor.mutator
class _Rewriter(relax.PyExprMutator):  # type: ignore[misc]
    def __init__(self, module: tvm.IRModule, replacements: Mapping[str, Replacement]) -> None:
        super().__init__(module)
        self._module = module
        self._replacements = replacements
        self._variables: dict[int, Any] = {}
        self._packed: dict[tuple[int, tuple[int, ...], PackedInput], Any] = {}

    def visit_call_(self, call: Any) -> Any:
        call = self.visit_expr_post_order(call)
        replacement = self._replacements.get(call.args[0].name_hint) if is_call_tir(call) else None
        if replacement is None:
            return call
        packs = {pack.index: pack for pack in replacement.packs}
        arguments = [
            self._in_form(argument, packs[index]) if index in packs else argument
            for index, argument in enumerate(call.args[1].fields)
        ]
        return relax.call_tir(self._variable(call.args[0].name_hint, replacement), arguments, out_ty=output_types(call))

    def _in_form(self, constant: Any, pack: PackedInput) -> Any:
        """The packed constant, the same for all calls that expect it so."""
        if not is_constant(constant):
            raise ScheduleError(f"the schedule packs input {pack.index}, which is not a constant here")
        form = replace(pack, index=0)  # whichever input it is
        key = (int(constant.value.data_ptr()), constant.value.shape, form)
        if key not in self._packed:
            array: np.ndarray = np.from_dlpack(constant.value)  # a view: large weights are not copied
            self._packed[key] = relax.const(pack.pack(array), pack.dtype)
        return self._packed[key]

    def _variable(self, name: str, replacement: Replacement) -> Any:
        """The replacement's variable in the new module; equal functions of one task share it."""
        if id(replacement) not in self._variables:
            scheduled = replacement.function.without_attr("global_symbol").with_attr(SCHEDULED, True)
            function, called = described(scheduled, move_of(self._module[name])), f"{name}_scheduled"
            if replacement.workload_key is not None:
                function = of_workload(function, replacement.workload_key)
                called = kernel_name(name, replacement.workload_key)
            self._variables[id(replacement)] = self.builder_.add_func(function, called)
        return self._variables[id(replacement)]


def output_types(call: Any) -> Any:
    """The type of each output of a `call_tir`."""
    return list(call.ty.fields) if isinstance(call.ty, relax.TupleType) else call.ty
