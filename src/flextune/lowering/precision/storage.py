"""Which values of a lowered model are stored as bfloat16.

All large float32 values between kernels, except the residual stream (see `residual.py`) and where float32 was promised
or something reads it that is not rewritten: the model's own inputs and outputs, values of calls that are no plain loop
nests, results of layers kept in float32.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import tvm
from tvm import relax

from flextune.analysis.moves import Concatenation, move_of
from flextune.lowering.calls import is_call_tir
from flextune.lowering.operator_graph import variables_read
from flextune.lowering.precision.narrow import plain_program
from flextune.lowering.precision.residual import residual_stream
from flextune.tvm_types import RelaxBinding, RelaxExpr, RelaxVar

SMALL_ELEMENTS = 4096
"""Values of fewer elements stay float32: there is no traffic to save, and logits keep their digits.

Those that are concatenated to a large one are stored as that is: then they can be written straight into it.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """The variables of a Relax function that hold bfloat16."""

    stored: frozenset[RelaxVar]

    def __contains__(self, variable: RelaxVar) -> bool:
        return variable in self.stored


def storage_of(
    module: tvm.IRModule, name: str, kept: Collection[RelaxVar] = (), wide: Collection[RelaxVar] = (), *, inner: bool
) -> Storage:
    """The storage of function `name`, whose kernels' results `kept` are to stay float32.

    `inner` says that the function is a part of a model, whose inputs and outputs are values between kernels too, and
    `wide` are those of them that are float32 in the model.
    """
    function = module[name]
    bindings = [binding for block in function.body.blocks for binding in block.bindings]
    if any(isinstance(binding.value, relax.If) for binding in bindings):
        return Storage(frozenset())
    sites = [binding for binding in bindings if is_plain_call(module, binding.value)]
    values = [binding.var for binding in sites] + (list(function.params) if inner else [])
    joined = _joined(module, sites)
    stored = {each for each in values if _is_large(each) or each in joined}
    stored -= {*kept, *residual_stream(module, sites, wide)}
    for binding in bindings:
        if not is_plain_call(module, binding.value):
            stored -= set(variables_read(binding.value))
    if not inner:
        stored -= set(variables_read(function.body.body))
    ties = [(binding.var, binding.value.args[1].fields[0]) for binding in sites if _is_view(module, binding.value)]
    while loose := [pair for pair in ties if (pair[0] in stored) != (pair[1] in stored)]:
        stored -= {variable for pair in loose for variable in pair}
    return Storage(frozenset(stored))


def is_plain_call(module: tvm.IRModule, value: RelaxExpr) -> bool:
    """Whether a bound value is a call of one plain PrimFunc with one result."""
    if not is_call_tir(value) or not hasattr(value.ty, "dtype"):
        return False
    return plain_program(module[value.args[0]]) is not None


def _joined(module: tvm.IRModule, sites: Sequence[RelaxBinding]) -> set[RelaxVar]:
    """The float32 values that are concatenated to large ones."""
    found: set[RelaxVar] = set()
    for binding in reversed(sites):
        large = _is_large(binding.var) or binding.var in found
        if large and isinstance(move_of(module[binding.value.args[0]]), Concatenation):
            found |= set(variables_read(binding.value))
    return found


def _is_view(module: tvm.IRModule, value: RelaxExpr) -> bool:
    return bool(relax.analysis.has_reshape_pattern(module[value.args[0]]))


def _is_large(variable: RelaxVar) -> bool:
    shape = getattr(variable.ty, "shape", None)
    if shape is None or str(variable.ty.dtype) != "float32" or not all(hasattr(size, "value") for size in shape):
        return False
    return math.prod(int(size) for size in shape) >= SMALL_ELEMENTS
