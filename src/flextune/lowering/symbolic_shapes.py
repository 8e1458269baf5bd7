"""Relax modules with symbolic shapes: what they are at one size of each symbol, and which symbols their kernels have.

Plans are decided on the program at representative sizes and written over the symbols. A decision that holds at sizes
which are multiples of nothing, and differ from each other and from the numbers in the model (`generic_sizes`), holds at
all sizes: equal shapes there are equal expressions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

import tvm_ffi
from tvm import relax, tirx

from flextune.analysis.symbols import is_symbolic, size_at, symbols_of
from flextune.errors import ModelError
from flextune.importing.model import Model
from flextune.importing.shapes.table import Demand
from flextune.importing.shapes.tracker import track_shapes
from flextune.lowering.calls import CallSite, argument_types
from flextune.tvm_types import Expression, IRModule, PrimFunc, RelaxType, Variable

_NO_MULTIPLES: Mapping[str, int] = MappingProxyType({})

Sizes = Mapping[str, int]
"""A representative size of each symbol of a model, by its name."""


def is_module_symbolic(module: IRModule) -> bool:
    """Whether `main` has symbols in its shapes."""
    return bool(relax.analysis.defined_symbolic_vars(module["main"]))


def check_known_sizes(module: IRModule, name: str) -> None:
    """ModelError for a tensor whose sizes do not follow from those of the inputs.

    Two sizes that a broadcast could stretch one to the other (n and m, or n and 5) leave the result's size open.
    """
    known = set(relax.analysis.defined_symbolic_vars(module["main"]))
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            if not all(_is_known(kind, known) for kind in _tensor_types(binding.var.ty)):
                operator = str(getattr(getattr(binding.value, "op", None), "name", "a value")).removeprefix("relax.")
                raise ModelError(
                    f"model {name!r} cannot be compiled for ranges of sizes: {operator} {binding.var.name} gives a "
                    f"tensor whose sizes do not follow from those of the inputs: {binding.var.ty}"
                )


def _tensor_types(kind: RelaxType) -> Sequence[RelaxType]:
    return list(kind.fields) if isinstance(kind, relax.TupleType) else [kind]


def _is_known(kind: RelaxType, known: Collection[Variable]) -> bool:
    if not isinstance(kind, relax.TensorType):
        return True
    if not isinstance(kind.shape, relax.ShapeExpr):
        return False
    found: list[Variable] = []
    for extent in kind.shape:
        tvm_ffi.structural_walk(extent, (tirx.Var, found.append))
    return all(each in known for each in found)


def at_sizes(module: IRModule, sizes: Sizes) -> IRModule:
    """The module with its symbols as numbers. ModelError for a symbol without one."""
    names = [str(symbol.name) for symbol in relax.analysis.defined_symbolic_vars(module["main"])]
    if missing := [name for name in names if name not in sizes]:
        raise ModelError(f"no representative size is known of {', '.join(missing)}")
    return relax.transform.BindSymbolicVars({name: sizes[name] for name in names}, "main")(module)


def generic_sizes(
    ranges: Mapping[str, tuple[int, int]], taken: Collection[int] = (), multiples: Mapping[str, int] = _NO_MULTIPLES
) -> dict[str, int]:
    """A size of each symbol for plans: a prime near the middle of its range (that of logarithms), none of them twice.

    Where `multiples` says what divides a symbol, so many times a prime. It may be beyond the end of a short range: it
    is the form of the program that is asked for, not its time.
    """
    used, found = set(taken), dict[str, int]()
    for name, (low, high) in ranges.items():
        times = multiples.get(name, 1)
        middle = round((max(low, 1) * max(high, 1)) ** 0.5) // times
        found[name] = next(prime * times for prime in _primes_near(middle) if prime * times not in used)
        used.add(found[name])
    return found


_SCALES = (1, 32, 64, 128)
"""What sizes for plans are multiplied by, where those of a model have to be even, or divisible by more."""


def sizes_for_plans(model: Model) -> dict[str, int]:
    """`generic_sizes` for which the model is right: they keep what it demands of them. ModelError where none do."""
    dims = {dim.name: dim for dim in model.dims}
    equal = [each for each in track_shapes(model.proto, dims).demands if each.right is not None]
    fixed = {name: value for each in equal for name, value in _decided(each)}
    ranges = {dim.name: (dim.sizes[0], dim.sizes[-1]) for dim in model.dims}
    primes = generic_sizes(ranges, multiples={dim.name: dim.multiple for dim in model.dims})
    for scale in _SCALES:
        sizes = {name: fixed.get(name, size * scale) for name, size in primes.items()}
        if all(each.names <= sizes.keys() and each.holds(sizes) for each in equal):
            return sizes
    listed = "\n".join(f"  {each}" for each in equal[:20])
    raise ModelError(f"model {model.name!r} cannot be compiled for ranges of sizes: no sizes are known with\n{listed}")


def _decided(demand: Demand) -> Iterator[tuple[str, int]]:
    """A size that has to be a number."""
    for one, other in ((demand.left, demand.right), (demand.right, demand.left)):
        if one is not None and other is not None and one.name is not None and other.value is not None:
            yield one.name, other.value


_LEAST_PRIME = 17
"""No vector is longer than 16 elements, and few axes of operators (taps, groups, heads) are that long."""


def _primes_near(middle: int) -> Iterator[int]:
    start = max(middle, _LEAST_PRIME)
    distance = 0
    while True:
        for size in dict.fromkeys((start + distance, start - distance)):
            if size >= _LEAST_PRIME and all(size % divisor for divisor in range(2, int(size**0.5) + 1)):
                yield size
        distance += 1


def kernel_sizes(function: PrimFunc, site: CallSite, sizes: Sizes) -> dict[str, int]:
    """Representative sizes of the symbols of a kernel, which has names of its own, from one of its calls.

    ModelError for a symbol that is no dimension of any parameter: a call could not tell the kernel its size.
    """
    found: dict[str, int] = {}
    for parameter, kind in zip(function.params, argument_types(site), strict=False):
        for extent, given in zip(getattr(parameter.ty, "shape", ()), kind.shape, strict=True):
            if isinstance(extent, tirx.Var):
                found.setdefault(str(extent.name), _evaluated(given, sizes))
    if missing := [str(each.name) for each in symbols_of(function) if str(each.name) not in found]:
        raise ModelError(
            f"kernel {site.function}: the size {missing[0]} is no dimension of a tensor that it reads or writes"
        )
    return found


def _evaluated(extent: Expression, sizes: Sizes) -> int:
    found: list[Expression] = []
    if is_symbolic(extent):
        tvm_ffi.structural_walk(extent, (tirx.Var, found.append))
    by_variable = {each: sizes[str(each.name)] for each in found if str(each.name) in sizes}
    size = size_at(extent, by_variable)
    if size is None:
        raise ModelError(f"no representative size is known of {extent}")
    return size
