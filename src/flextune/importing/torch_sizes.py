"""Sizes of a traced PyTorch program that differ from call to call, in our words: dimensions and expressions of these.

PyTorch calls a size `s27`, keeps its range apart, and writes expressions as sympy does.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from flextune.errors import ModelError, UsageError
from flextune.importing.shapes.names import unused_name
from flextune.importing.shapes.tracked import Shape
from flextune.importing.shapes.tracker import MOST_BY_DEFAULT
from flextune.torch_types import ExportedProgram, SizeCondition, SymbolicSize, Torch, TorchModule
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr

DynamicShapes = Mapping[str, object] | Sequence[object]
"""As `torch.export.export` takes them: for each argument, by position or by name, its axes with their `Dim`."""


@dataclass(frozen=True, slots=True)
class ExportedSizes:
    """The shapes of a program's inputs that are tensors, in their order, and the ranges of the dimensions in them."""

    shapes: tuple[Shape, ...] = ()
    dims: tuple[Dim, ...] = ()

    def set_inputs(self, proto: onnx.ModelProto) -> None:
        """Give the inputs of the program's ONNX these shapes, dimensions by name."""
        if not self.dims:
            return
        if len(proto.graph.input) != len(self.shapes):
            raise ModelError(f"{len(self.shapes)} inputs were traced, and {len(proto.graph.input)} written as ONNX")
        for value, shape in zip(proto.graph.input, self.shapes, strict=True):
            for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
                if size.value is None:
                    dim.dim_param = str(size)
                else:
                    dim.dim_value = size.value


def size_expression(size: int | SymbolicSize) -> DimExpr:
    """A size as an expression over PyTorch's symbols. ModelError for one that is no such expression."""
    if isinstance(size, int):
        return DimExpr.of(size)
    from torch.utils._sympy.printers import PythonPrinter  # not before torch was asked for: it is large

    text = str(PythonPrinter().doprint(size.node.expr))
    try:
        return DimExpr.parse(text)
    except UsageError as error:
        raise ModelError(f"the size {text} is none that can be computed: {error}") from None


def exported_sizes(torch: Torch, program: ExportedProgram, names: Mapping[str, str], model: str) -> ExportedSizes:
    """The sizes of the inputs; `names` are those of symbols, others are called after an input and its axis.

    ModelError where an output has sizes that data decide.
    """
    shapes = _input_shapes(torch, program)
    _check_outputs(torch, program, shapes, model)
    ranges = {str(symbol): _range(found) for symbol, found in program.range_constraints.items()}
    return _Naming(dict(shapes), ranges, dict(names), model).result()


def chosen_names(
    torch: Torch,
    program: ExportedProgram,
    module: TorchModule,
    arguments: tuple[object, ...],
    keywords: Mapping[str, object],
    dynamic_shapes: DynamicShapes | None,
) -> dict[str, str]:
    """What the caller's `Dim`s call the symbols of a program that was traced with these arguments."""
    if dynamic_shapes is None:
        return {}
    bound = inspect.signature(module.forward).bind(*arguments, **keywords).arguments
    given = bound if isinstance(dynamic_shapes, Mapping) else tuple(bound.values())
    leaves = torch.utils._pytree.tree_leaves(tuple(bound.values()))
    inputs = dict(zip(map(id, leaves), program.graph_signature.user_inputs, strict=True))
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    found: dict[str, str] = {}
    for tensor, axis, dim in _marked_axes(torch, given, dynamic_shapes):
        node = placeholders.get(str(inputs.get(id(tensor))))
        root = getattr(dim, "root", dim)
        if node is None or not isinstance(root, torch.export.Dim):
            continue
        names = size_expression(node.meta["val"].shape[axis]).names
        if len(names) == 1:
            found.setdefault(next(iter(names)), root.__name__)
    return found


def check_conditions(torch: Torch, program: ExportedProgram, sizes: ExportedSizes, model: str) -> None:
    """ModelError where the program is not for all sizes in range: `if x.shape[0] == 7` was traced one way only.

    PyTorch's conditions on sizes are tried at the smallest sizes of each dimension, the largest, and some between. It
    has them of tracing, and of writing ONNX: there, pooling to a fixed size gets windows of a fixed size.
    """
    if not sizes.dims:
        return
    _check_traced(torch, program, sizes, model)
    conditions = _written_conditions(torch, program)
    traced = _input_shapes(torch, program).values()
    for values in _tried_sizes(sizes.dims) if conditions else ():
        symbols = _symbols_at(traced, sizes.shapes, values)
        for condition in conditions:
            if not _may_hold(condition, symbols):
                raise _for_some_sizes(model, str(condition), symbols)


def _symbols_at(traced: Iterable[Shape], shapes: Iterable[Shape], values: Mapping[str, int]) -> dict[str, int]:
    """What PyTorch's symbols, which are sizes of inputs or parts of one, are at these sizes."""
    pairs = [pair for each, shape in zip(traced, shapes, strict=True) for pair in zip(each, shape, strict=True)]
    found: dict[str, int] = {}
    for size, ours in pairs:
        if len(size.names) == 1:
            (symbol,) = size.names
            factor = size.bind({symbol: 1})
            if factor > 0 and size == DimExpr.of(symbol) * factor:
                found[symbol] = ours.bind(values) // factor
    return found


def _check_traced(torch: Torch, program: ExportedProgram, sizes: ExportedSizes, model: str) -> None:
    conditions = getattr(program.module(), "_guards_fn", None)
    if conditions is None:
        return
    shapes = dict(zip(_input_shapes(torch, program), sizes.shapes, strict=True))
    for values in _tried_sizes(sizes.dims):
        given = [
            torch.empty([size.bind(values) for size in shapes[name]], device="meta") if name in shapes else name
            for name in program.graph_signature.user_inputs
        ]
        try:
            conditions(*given)
        except AssertionError as error:
            raise _for_some_sizes(model, str(error).removeprefix("Guard failed: "), values) from None


def _for_some_sizes(model: str, condition: str, values: Mapping[str, int]) -> ModelError:
    listed = ", ".join(f"{name}={size}" for name, size in values.items())
    return ModelError(
        f"{model} was traced for some sizes in range only: {condition} does not hold for {listed}; "
        "give the sizes ranges in which it does, such as Dim.DYNAMIC(min=..., max=...)"
    )


def _may_hold(condition: SizeCondition, values: Mapping[str, int]) -> bool:
    """Whether it does, or is also of symbols that have become others or are decided by data."""
    known = {symbol: values[str(symbol)] for symbol in condition.free_symbols if str(symbol) in values}
    return len(known) < len(condition.free_symbols) or bool(condition.subs(known))


def _written_conditions(torch: Torch, program: ExportedProgram) -> list[SizeCondition]:
    """What PyTorch has taken for true of the symbols of a program that was written as ONNX."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        for size in value.shape if isinstance(value, torch.Tensor) else ():
            if isinstance(size, torch.SymInt):
                return [guard.expr for guard in size.node.shape_env.guards]
    return []


def _tried_sizes(dims: Sequence[Dim]) -> Iterator[dict[str, int]]:
    """Sizes of one dimension after the other, those of the others at random."""
    chance = random.Random(0)
    for dim in dims:
        for size in {*dim.sizes[:_TRIED], *dim.sizes[-2:], *(chance.choice(dim.sizes) for _ in range(_TRIED))}:
            others = {each.name: chance.choice(each.sizes[: 4 * _TRIED]) for each in dims}
            yield others | {dim.name: size}


_TRIED = 32


def _marked_axes(torch: Torch, given: object, shapes: object) -> Iterator[tuple[object, int, object]]:
    """Every tensor, axis and what the caller says of it, walking through both structures."""
    if isinstance(given, torch.Tensor):
        pairs = shapes.items() if isinstance(shapes, Mapping) else enumerate(_sequence(shapes))
        yield from ((given, axis, dim) for axis, dim in pairs if dim is not None)
    elif isinstance(given, Mapping) and isinstance(shapes, Mapping):
        for key, value in given.items():
            yield from _marked_axes(torch, value, shapes.get(key))
    elif isinstance(given, Sequence) and not isinstance(given, str):
        for value, each in zip(given, _sequence(shapes), strict=False):
            yield from _marked_axes(torch, value, each)


def _sequence(shapes: object) -> Sequence[object]:
    return shapes if isinstance(shapes, Sequence) else ()


def _input_shapes(torch: Torch, program: ExportedProgram) -> dict[str, Shape]:
    given = set(map(str, program.graph_signature.user_inputs))
    return {
        node.name: tuple(map(size_expression, node.meta["val"].shape))
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in given and isinstance(node.meta.get("val"), torch.Tensor)
    }


def _check_outputs(torch: Torch, program: ExportedProgram, shapes: Mapping[str, Shape], model: str) -> None:
    known = {name for shape in shapes.values() for size in shape for name in size.names}
    given = set(map(str, program.graph_signature.user_outputs))
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.name not in given or not isinstance(value, torch.Tensor):
            continue
        if not all(size_expression(size).names <= known for size in value.shape):
            raise ModelError(
                f"{model}: {node.name} of shape [{', '.join(map(str, value.shape))}] has sizes that change with what "
                "the inputs hold"
            )


def _range(found: object) -> tuple[int, int]:
    lower, upper = found.lower, found.upper  # type: ignore[attr-defined]
    return int(lower), int(upper) if upper.is_Integer else MOST_BY_DEFAULT


@dataclass(frozen=True, slots=True)
class _Naming:
    """Makes dimensions of PyTorch's symbols."""

    shapes: dict[str, Shape]
    """By the names of inputs, over symbols."""
    ranges: dict[str, tuple[int, int]]
    """Of symbols."""
    names: dict[str, str]
    """That the caller gave to symbols."""
    model: str

    def result(self) -> ExportedSizes:
        by_size: dict[DimExpr, DimExpr] = {}
        by_symbol: dict[str, DimExpr] = {}
        dims: list[Dim] = []
        for name, shape in self.shapes.items():
            for axis, size in enumerate(shape):
                for symbol in sorted(size.names - by_symbol.keys()):
                    used, low, high = self._use(symbol)
                    chosen = self.names.get(symbol) or f"{name}_{axis}"
                    dim = Dim(unused_name(chosen, [each.name for each in dims]), used * low, used * high, used)
                    by_size[used * DimExpr.of(symbol)] = by_symbol[symbol] = DimExpr.of(dim)
                    dims.append(dim)
        shapes = tuple(
            tuple(by_size[size] if size in by_size else size.substitute(by_symbol) for size in shape)
            for shape in self.shapes.values()
        )
        return ExportedSizes(shapes, tuple(dims))

    def _use(self, symbol: str) -> tuple[int, int, int]:
        """How many times the symbol a size of an input is, and the symbol's range."""
        low, high = self.ranges.get(symbol, (0, MOST_BY_DEFAULT))
        uses = {size for shape in self.shapes.values() for size in shape if symbol in size.names}
        if any(size.name == symbol for size in uses):
            return 1, low, max(low, high)
        return self._factor(symbol, uses), low, max(low, high)

    def _factor(self, symbol: str, uses: set[DimExpr]) -> int:
        """Of a symbol that occurs only as so many times itself."""
        (size, *others) = uses
        factor = size.bind({symbol: 1}) if size.names == {symbol} else 0
        if others or factor < 1 or size != DimExpr.of(symbol) * factor:
            raise ModelError(
                f"{self.model}: the sizes {', '.join(sorted(map(str, uses)))} are given by {symbol}, which is no "
                "size of an input itself; mark the axes by one Dim, or some of them only"
            )
        return factor
