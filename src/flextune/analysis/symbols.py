"""Programs with symbolic sizes: which symbols they have, and the number that decisions take for each.

A symbol is a variable in the shapes of a function's parameters. What a rule or a rewriting needs to know of a size (is
it a whole number of vectors, is it longer than a tile) it asks at one representative size; what it writes into the
program is the symbol.
"""

from __future__ import annotations

from collections.abc import Mapping

import tvm_ffi
from tvm import tirx

from flextune.analysis.indices import UnknownIndexError, evaluate
from flextune.tvm_types import Expression, PrimFunc, Variable

SIZES = "flextune.sizes"
"""The attribute of a function that holds a representative size of each of its symbols, by name."""


def symbols_of(function: PrimFunc) -> tuple[Variable, ...]:
    """The variables in the shapes of the parameters, each once, in the order they are met."""
    found: list[Variable] = []

    def add(variable: Variable) -> None:
        if not any(variable.same_as(each) for each in found):
            found.append(variable)

    for parameter in function.params:
        for extent in getattr(parameter.ty, "shape", ()):
            tvm_ffi.structural_walk(extent, (tirx.Var, add))
    return tuple(found)


def with_sizes(function: PrimFunc, sizes: Mapping[str, int]) -> PrimFunc:
    """The function with a note of the representative sizes of its symbols; `read_program` takes them."""
    return function.with_attr(SIZES, dict(sizes)) if sizes else function


def without_sizes(function: PrimFunc) -> PrimFunc:
    """The function without that note."""
    return function.without_attr(SIZES) if has_sizes(function) else function


def has_sizes(function: PrimFunc) -> bool:
    return function.attrs is not None and SIZES in function.attrs


def sizes_of(function: PrimFunc) -> dict[Variable, int]:
    """The representative sizes by the symbols themselves; none where nothing is noted."""
    if not has_sizes(function):
        return {}
    noted = {str(name): int(size) for name, size in function.attrs[SIZES].items()}
    return {symbol: noted[str(symbol.name)] for symbol in symbols_of(function) if str(symbol.name) in noted}


def bound(function: PrimFunc, sizes: Mapping[str, int]) -> PrimFunc:
    """The function at these sizes of its symbols: what is compiled for them alone."""
    plain, symbols = without_sizes(function), symbols_of(function)
    told = tirx.PrimFunc([*plain.params, *symbols], plain.body, plain.ret_type, attrs=plain.attrs)
    return told.specialize({each: tirx.IntImm(str(each.ty), sizes[str(each.name)]) for each in symbols})


def size_at(extent: Expression, sizes: Mapping[Variable, int]) -> int | None:
    """What an extent is at these sizes; None for one that they do not determine."""
    if isinstance(extent, int | tirx.IntImm):
        return int(extent)
    if not sizes:
        return None
    try:
        return int(evaluate(extent, dict(sizes), {}))
    except UnknownIndexError:
        return None


def is_symbolic(extent: Expression) -> bool:
    """Whether an extent is known only when the program runs."""
    return not isinstance(extent, int | tirx.IntImm)
