"""This platform's own operators: what TVM's become in code for x86, and in no other.

TVM finds the code of a function such as `tirx.exp` by "llvm" alone, which is every CPU: another one registered there
would be that of Arm, and of the plain programs that references are computed with. So TVM's functions stay as they are.
`PIPELINE`, which only this platform compiles with, starts with a pass over each kernel that replaces calls of them

    tirx.exp(x: float32)  -->  tirx.flextune_x86_exp(x)

by operators that are known here alone; they become code where all intrinsics do, after loops are vectorised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Call

from flextune.once import once
from flextune.platforms.cpu.finishing import finished
from flextune.platforms.x86.elementary import erf, exp, tanh
from flextune.platforms.x86.power import logarithm, power
from flextune.platforms.x86.rounding_instruction import ROUNDING_FEATURE, rounded
from flextune.tvm_types import Expression, IRModule, PrimFunc
from flextune.workload.rounding import ROUND, register_rounding

PIPELINE = "flextune_x86"
"""The name of TVM's pipeline for kernels with the pass in front; known after `register_operators`."""

_PREFIX = "tirx.flextune_x86_"
_PURE = 1
"""TVM's `CallEffectKind` of a function of its arguments alone."""

_FUNCTIONS: Mapping[str, Callable[..., Expression]] = {
    "exp": exp,
    "tanh": tanh,
    "erf": erf,
    "log": logarithm,
    "pow": power,
}
"""The functions of float32 that are computed here; of other types they stay TVM's."""

_COMPOSED = ("sigmoid", "exp10", "atanh")
"""Functions that TVM composes of those; of float32 they are composed as TVM does, of ours."""


@once
def register_operators() -> None:
    """Makes the operators and `PIPELINE` known to TVM, which changes nothing for those who do not name it."""
    register_rounding()
    for name, function in _FUNCTIONS.items():
        _register(f"tirx.{name}", partial(_computed, function))
    for name in _COMPOSED:
        _register(f"tirx.{name}", partial(_composed, _legalisation(name)))
    _register("tirx.isnan", lambda call: tirx.isnan(call.args[0]))  # TVM's, but for a whole vector
    _register(ROUND, rounded)
    tirx.register_tir_pipeline(PIPELINE, _pipeline)


def own_calls(tree: Expression, rounds: bool = False) -> Expression:
    """An expression or statement with calls of our operators; bfloat16 is rounded by the instruction if `rounds`."""
    return tvm_ffi.structural_map(tree, (Call, lambda call: _own(call, rounds)))


def _own(call: Expression, rounds: bool) -> Expression:
    operator = call.op.name if isinstance(call.op, tvm.ir.Op) else ""
    if not operator.startswith("tirx."):
        return call
    name = operator.removeprefix("tirx.")
    if name == "isnan" or (operator == ROUND and rounds) or (name in _OF_FLOAT32 and _is_float32(call)):
        return tirx.call_intrin(str(call.ty), _own_name(operator), *call.args)
    return call


_OF_FLOAT32 = frozenset((*_FUNCTIONS, *_COMPOSED))


def _is_float32(call: Expression) -> bool:
    return str(call.args[0].ty).startswith("float32")


def _own_name(operator: str) -> str:
    return _PREFIX + operator.removeprefix("tirx.")


def _register(operator: str, lowering: Callable[[Expression], Expression]) -> None:
    name = _own_name(operator)
    tvm.ir.register_op_attr(name, "TCallEffectKind", _PURE)
    tvm.ir.register_op_attr(name, "TVectorizable", True)
    tirx.op.register_intrin_lowering(name, "llvm", f=lowering)


def _computed(function: Callable[..., Expression], call: Expression) -> Expression:
    return function(*call.args)


def _composed(legalise: Callable[[Expression], Expression], call: Expression) -> Expression:
    return own_calls(legalise(call))


def _legalisation(name: str) -> Callable[[Expression], Expression]:
    operator = tvm.ir.Op.get(f"tirx.{name}")
    found = operator.get_attr("llvm.FLegalize") or operator.get_attr("default.FLegalize")
    return cast("Callable[[Expression], Expression]", found)


def _pipeline() -> tuple[tvm.transform.Pass, Callable[[], tvm.transform.Pass], Callable[[], tvm.transform.Pass]]:
    lower, finish_host, finish_device = tirx.get_tir_pipeline("default")
    return tvm.transform.Sequential([_with_own_operators, lower]), finish_host, finish_device


@tirx.transform.prim_func_pass(opt_level=0, name="flextune.x86.OwnOperators")  # type: ignore[untyped-decorator]
def _with_own_operators(function: PrimFunc, _module: IRModule, _context: tvm.transform.PassContext) -> PrimFunc:
    rounds = ROUNDING_FEATURE in function.attrs["target"].attrs["mattr"]
    return function.with_body(own_calls(finished(function.body), rounds))
