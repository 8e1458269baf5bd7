"""From grouped operators to PrimFuncs; what was lowered once is kept, and put into the next module as it is."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import tvm
import tvm_ffi
from tvm import relax, tirx

from flextune.analysis.symbols import symbols_of
from flextune.errors import FlextuneError, ModelError
from flextune.importing.passes import Observer, Pass, replacing, run_passes
from flextune.lowering.calls import is_call_tir
from flextune.lowering.copies import remove_copies
from flextune.lowering.emit import PRIMITIVE
from flextune.lowering.folding import fold_moved_constants
from flextune.lowering.kernel_operators import with_operators
from flextune.lowering.legalization import LEGALIZATIONS
from flextune.lowering.mutation import mutated
from flextune.lowering.regions import with_bodies
from flextune.tvm_types import GlobalVariable, PrimFunc, RelaxCall, RelaxExpr, RelaxFunction, RelaxType

ModulePass = Callable[[tvm.IRModule], tvm.IRModule]


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A primitive function as one PrimFunc, and the type that variables of the function have."""

    function: PrimFunc
    type: RelaxType


class LoweredKernels:
    """The kernels that modules made of one model were lowered to, by the primitive function each was made from.

    The modules of different choices, layouts and candidates share most of their groups. A group is lowered where it is
    met first; a later module takes the very same PrimFunc. `lower` gives what it would give if nothing were kept, but
    for the numbers in the names of functions that are in no group. `without` names passes to do without.
    """

    def __init__(self, without: Collection[str] = ()) -> None:
        self._without = tuple(without)
        self._kept: dict[Hashable, Kernel] = {}

    def lower(
        self,
        module: tvm.IRModule,
        entries: Sequence[str] = ("main",),
        observe: Observer[tvm.IRModule] | None = None,
    ) -> tvm.IRModule:
        """Every operator of the Relax functions `entries` as a PrimFunc; those of one primitive function as one.

        By the passes of `kernel_passes` but for those that `without` names; `observe` is told what each of them left.
        """
        keys = {name.name_hint: _key(function, module) for name, function in primitives(module)}
        entries = with_bodies(module, entries)
        known = {name: self._kept[key] for name, key in keys.items() if key in self._kept}
        with tvm_errors():
            passes = kernel_passes(entries, known, {name.name_hint: function for name, function in primitives(module)})
            lowered = run_passes(passes, _with_kernels(module, known), self._without, observe)
        for name, function in lowered.functions_items():
            if name.name_hint in keys and isinstance(function, tirx.PrimFunc):
                self._kept.setdefault(keys[name.name_hint], Kernel(function, name.ty))
        return lowered


def fuse_by_default(
    module: tvm.IRModule, without: Collection[str] = (), observe: Observer[tvm.IRModule] | None = None
) -> tvm.IRModule:
    """Operators as PrimFuncs in TVM's own groups, for a `main` that branches: no plan can say what it does."""
    with tvm_errors():
        return run_passes(branching_passes(), module, without, observe)


def kernel_passes(
    entries: Sequence[str], known: Collection[str], groups: Mapping[str, RelaxFunction]
) -> tuple[Pass[tvm.IRModule], ...]:
    """From operators grouped by a plan to one PrimFunc for each group, in the order they run.

    `entries` are the functions that are called from outside; the functions `known` are PrimFuncs already, and finished;
    `groups` are what the others are made of, by their names.
    """
    loops = (FOLD_WEIGHTS, _LEGALIZE, _remove_unused(entries), _FUSE, _remove_unused(entries))
    return (*loops, *_finish(known), _describe(groups))


def branching_passes() -> tuple[Pass[tvm.IRModule], ...]:
    """The same for a `main` that branches, whose operators no plan has grouped."""
    return (_LEGALIZE, _remove_unused(("main",)), _GROUP, _FUSE, _remove_unused(("main",)), *_finish(), _describe({}))


FOLD_WEIGHTS = Pass(
    "fold-rearranged-weights",
    "Replace transposes, reshapes and casts of constants, which layouts and algorithms ask for, by constants",
    fold_moved_constants,
)
_LEGALIZE: Pass[tvm.IRModule] = Pass(
    "legalize",
    "Write every operator as loops: one PrimFunc each",
    relax.transform.LegalizeOps(LEGALIZATIONS),
    "kernels are loops",
)
_GROUP: Pass[tvm.IRModule] = Pass(
    "group-operators",
    "Group operators as TVM does, in models that branch: no plan can say what they do",
    tvm.transform.Sequential([relax.transform.AnnotateTIROpPattern(), relax.transform.FuseOps()]),
)
_FUSE: Pass[tvm.IRModule] = Pass(
    "fuse-loops",
    "Make one PrimFunc of all those that a group calls",
    relax.transform.FuseTIR(),
    "a kernel is all of a group",
)


def _remove_unused(entries: Sequence[str]) -> Pass[tvm.IRModule]:
    return Pass(
        "remove-unused",
        "Remove functions that nothing calls",
        relax.transform.DeadCodeElimination(list(entries)),
        "whatever is left becomes machine code",
    )


def _describe(groups: Mapping[str, RelaxFunction]) -> Pass[tvm.IRModule]:
    return Pass(
        "describe-kernels",
        "Say in every PrimFunc which operators it computes",
        partial(with_operators, groups=groups),
        "workloads are called by it",
    )


def _finish(known: Collection[str] = ()) -> tuple[Pass[tvm.IRModule], ...]:
    """What is done to every PrimFunc by itself, for all but the known ones."""
    passes = (replacing(narrow_indices), replacing(remove_copies))
    return tuple(replace(each, run=partial(_changed, each.run, known)) for each in passes)


def _changed(change: ModulePass, known: Collection[str], module: tvm.IRModule) -> tvm.IRModule:
    """The module with its PrimFuncs but for the known ones as `change` makes them."""
    fresh = {
        name: function
        for name, function in module.functions_items()
        if isinstance(function, tirx.PrimFunc) and name.name_hint not in known
    }
    changed = change(tvm.IRModule(fresh))
    for name in fresh:
        module.update_func(name, changed[name])
    return module


@contextlib.contextmanager
def tvm_errors() -> Iterator[None]:
    """What TVM raises on what it cannot express, each part of it in its own way, becomes a ModelError."""
    try:
        yield
    except FlextuneError:
        raise
    except Exception as error:
        raise ModelError(f"the model cannot be compiled: {last_line(error)}") from error


def last_line(error: Exception) -> str:
    """The last line that says anything of what an exception says."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def narrow_indices(module: tvm.IRModule) -> tvm.IRModule:
    """Index in int32, as `te.create_prim_func` does, all functions but those where that could overflow."""
    narrowed = {}
    for variable, function in module.functions_items():
        if isinstance(function, tirx.PrimFunc) and _fits_int32(function):
            with contextlib.suppress(RuntimeError, TypeError):  # data in int64 is refused by the pass
                one = tvm.IRModule({"main": function})
                narrowed[variable] = tirx.transform.ForceNarrowIndexToInt32()(one)["main"]
    for variable, function in narrowed.items():
        module.update_func(variable, function)
    return module


def _fits_int32(function: tirx.PrimFunc) -> bool:
    if symbols_of(function):  # TVM's simplifier overflows on extents that are made of symbols in int32
        return False
    sizes = [[int(size) for size in p.ty.shape if isinstance(size, tirx.IntImm)] for p in function.params]
    return all(math.prod(shape) < 2**30 for shape in sizes)


def primitives(module: tvm.IRModule) -> Iterator[tuple[GlobalVariable, RelaxFunction]]:
    """The functions of a module that become one kernel each, with their variables."""
    for name, function in module.functions_items():
        if isinstance(function, relax.Function) and function.attrs is not None and PRIMITIVE in function.attrs:
            yield name, function


def _key(function: RelaxFunction, module: tvm.IRModule) -> Hashable:
    """Equal for equal functions, also where equal PrimFuncs that they call have other names.

    It is the function's JSON, which says what structural equality does not: which of its types are one object. That
    goes on into the kernel's JSON, and with it into the key of its workload.
    """
    called = _called(function)
    if called:
        places = {name.name_hint: tvm.ir.GlobalVar(f"called{place}") for place, name in enumerate(called)}
        function = tvm_ffi.structural_map(function, (tvm.ir.GlobalVar, lambda name: places[name.name_hint]))
    hashes = tuple(tvm_ffi.structural_hash(module[name]) for name in called)
    return str(tvm.ir.save_json(function)), hashes


def _called(function: RelaxFunction) -> tuple[GlobalVariable, ...]:
    """The PrimFuncs that a Relax function calls, in program order."""
    values = (binding.value for block in function.body.blocks for binding in block.bindings)
    return tuple(value.args[0] for value in values if is_call_tir(value))


def _with_kernels(module: tvm.IRModule, known: Mapping[str, Kernel]) -> tvm.IRModule:
    """The module with these primitive functions replaced by kernels, and their calls by such of PrimFuncs."""
    functions = {name: function for name, function in module.functions_items() if name.name_hint not in known}
    variables = {name: _variable(name, kernel) for name, kernel in known.items()}
    kernels = {variables[name]: kernel.function for name, kernel in known.items()}
    replaced = tvm.IRModule({**functions, **kernels})
    return mutated(replaced, _Caller(replaced, variables)) if known else module


def _variable(name: str, kernel: Kernel) -> GlobalVariable:
    variable = tvm.ir.GlobalVar(name)
    relax.expr._update_type(variable, kernel.type)
    return variable


@relax.expr_functor.mutator
class _Caller(relax.PyExprMutator):  # type: ignore[misc]
    def __init__(self, module: tvm.IRModule, variables: Mapping[str, GlobalVariable]) -> None:
        super().__init__(module)
        self._variables = variables

    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        variable = self._variables.get(call.op.name_hint) if isinstance(call.op, tvm.ir.GlobalVar) else None
        return call if variable is None else relax.call_tir(variable, list(call.args), out_ty=call.ty)
