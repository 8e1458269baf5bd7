"""Workloads with symbolic sizes: one program for all sizes of some of its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

from flextune.errors import UsageError
from flextune.tvm_types import Expression, PrimFunc
from flextune.workload.dim import Dim
from flextune.workload.operator_parameters import Params, Size, Value
from flextune.workload.operator_registry import find_operator
from flextune.workload.workload import TIR, Workload


@dataclass(frozen=True, slots=True)
class SymbolicWorkload:
    """An operator with some sizes as dimensions. Bound to numbers it is a `Workload` like any other.

    The text form has ranges where a workload's has numbers. UsageError for parameters that cannot be used, at the
    smallest or at the largest sizes, and for a range of what is no size.

    >>> gemm = SymbolicWorkload.parse("gemm:m=1..512,n=768,k=768")
    >>> str(gemm.bind({"m": 31}))
    'gemm:m=31,n=768,k=768,dtype=float32'
    """

    operator: str
    params: tuple[tuple[str, Value | Dim], ...]

    def __post_init__(self) -> None:
        if self.operator == TIR:
            raise UsageError("a tir workload is a program for its own sizes: bind its symbols to numbers first")
        declared = {each.name: each for each in find_operator(self.operator).parameters}
        for name, value in self.params:
            if isinstance(value, Dim) and not isinstance(declared.get(name), Size):
                raise UsageError(f"{self.operator}: {name} is no size that could have a range, got {value}")
            if isinstance(value, Dim) and value.name != name:
                raise UsageError(f"{self.operator}: the dimension of {name} is called {value.name!r}")
        if not self.dims:
            raise UsageError(f"{self.operator}: no parameter has a range, such as m=1..512: this is a static workload")
        for end in (0, -1):  # what fits neither fits nothing between
            self.bind({dim.name: dim.sizes[end] for dim in self.dims})
        ranges = {dim.name: dim for dim in self.dims}
        complete = self.bind({name: dim.sizes[-1] for name, dim in ranges.items()}).params
        object.__setattr__(self, "params", tuple((name, ranges.get(name, value)) for name, value in complete))

    @classmethod
    def parse(cls, text: str) -> SymbolicWorkload:
        """Inverse of `str`. UsageError for any other text."""
        operator, _, rest = text.strip().partition(":")
        return cls(operator, tuple(_parameters(text, rest)))

    def __str__(self) -> str:
        static = str(self.bind({dim.name: dim.sizes[-1] for dim in self.dims}))
        ranges = {dim.name: str(dim) for dim in self.dims}
        _, _, rest = static.partition(":")
        parts = (ranges.get(part.partition("=")[0], part) for part in rest.split(","))
        return f"{self.operator}:" + ",".join(parts)

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The sizes that have ranges, in the order of the parameters."""
        return tuple(value for _, value in self.params if isinstance(value, Dim))

    def bind(self, sizes: Mapping[str, int]) -> Workload:
        """The workload at these sizes. UsageError for one that is missing, unknown or out of its range."""
        known = {dim.name: dim for dim in self.dims}
        if strange := sorted(sizes.keys() ^ known.keys()):
            raise UsageError(
                f"{self.operator}: sizes are needed of {', '.join(known)}; {strange[0]!r} is missing or unknown"
            )
        for name, size in sizes.items():
            if size not in known[name].sizes:
                raise UsageError(f"{self.operator}: {name}={size} is out of its range {known[name]}")
        bound = ((name, sizes[name] if isinstance(value, Dim) else value) for name, value in self.params)
        return Workload(self.operator, tuple(bound))

    def prim_func(self) -> PrimFunc:
        """The program with a symbol for each dimension: parameters are the inputs, then the outputs.

        UsageError for an operator that is not written for symbolic sizes.
        """
        builder = import_module("flextune.workload.tensor_builder")
        params = _SymbolicParams.of(self.bind({dim.name: dim.sizes[-1] for dim in self.dims}), self.dims)
        operator, build = find_operator(self.operator), builder.TensorBuilder(str(params["dtype"]))
        try:
            tensors = [build.placeholder(spec) for spec in operator.inputs(params)]
            results = operator.expression(build, params, tensors)
        except (TypeError, ValueError, RuntimeError) as error:
            names = ", ".join(dim.name for dim in self.dims)
            raise UsageError(f"{self.operator} is not written for symbolic {names}: {error}") from error
        return builder.prim_func([*tensors, *(results if isinstance(results, tuple) else (results,))])


@dataclass(frozen=True, slots=True)
class _SymbolicParams(Params):
    """Checked parameters whose sizes are symbols where these have ranges."""

    symbols: tuple[tuple[str, Expression], ...] = ()

    @classmethod
    def of(cls, workload: Workload, dims: tuple[Dim, ...]) -> _SymbolicParams:
        tirx = import_module("tvm").tirx
        symbols = tuple((dim.name, tirx.Var(dim.name, "int64")) for dim in dims)
        return cls(workload.operator, workload.params, symbols)

    def integer(self, name: str) -> int:
        """The size, which is an expression where it has a range: operators compute with it as they do with numbers."""
        symbol: int | None = dict(self.symbols).get(name)
        return Params.integer(self, name) if symbol is None else symbol


def _parameters(text: str, rest: str) -> Iterator[tuple[str, Value | Dim]]:
    for part in rest.split(",") if rest.strip() else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise UsageError(f"expected NAME=VALUE between commas, got {part.strip()!r} in workload {text!r}")
        if ".." in value:
            yield name, Dim.parse(f"{name}={value}")
        else:
            yield name, int(value) if value.isascii() and value.isdigit() else value
