"""Running a Relax mutator over a module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tvm
from tvm import relax

from flextune.tvm_types import RelaxBuilder, RelaxExpr, RelaxMutator


def mutated(module: tvm.IRModule, mutator: RelaxMutator) -> tvm.IRModule:
    """The module with every Relax function rewritten by a `relax.PyExprMutator` that was made for it."""
    with complete_blocks(mutator.builder_):
        for variable, function in module.functions_items():
            if isinstance(function, relax.Function):
                mutator.builder_.update_func(variable, mutator.visit_expr(function))
        return mutator.builder_.get()


@contextlib.contextmanager
def complete_blocks(builder: RelaxBuilder) -> Iterator[None]:
    """Where what is done with a builder fails, end the blocks that it has begun, of which TVM would print a warning."""
    try:
        yield
    except Exception:
        with contextlib.suppress(RuntimeError):  # there is none left
            while True:
                builder._end_block()
        raise


def bound_value(mutator: RelaxMutator, argument: RelaxExpr) -> RelaxExpr:
    """What a variable is bound to, as far as a mutator has come; the argument itself where that is not known."""
    found = mutator.lookup_binding(argument) if isinstance(argument, relax.Var) else argument
    return argument if found is None else found
