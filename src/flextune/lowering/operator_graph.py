"""A Relax `main` as a graph of operators: what fusion reads, and where plans are made over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import networkx
import tvm
from tvm import relax

from flextune.errors import ModelError
from flextune.lowering.estimator import Estimator, host_estimator
from flextune.lowering.operator_kinds import Kind, kind_of, operator_name
from flextune.lowering.symbolic_shapes import Sizes, at_sizes, is_module_symbolic
from flextune.tvm_types import IRModule, RelaxConstant, RelaxExpr, RelaxVar

_EXIT = -1


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One binding of `main`, a call of an operator or kernel, as a node of the graph."""

    index: int
    """Its position among all operators."""
    name: str
    """The operator's name in Relax."""
    kind: Kind
    """What fusion may do with it."""
    inputs: tuple[int, ...]
    """The operators it reads from, each once."""
    shape: tuple[int, ...]
    """Of its result; () for no tensor."""
    dtype: str
    """Of its result's elements."""
    variable: RelaxVar
    """What its result is bound to (`relax.Var`)"""
    value: RelaxExpr
    """The call that is bound."""

    @property
    def short_name(self) -> str:
        """`conv2d` for `nn.conv2d`."""
        return self.name.rpartition(".")[2]

    @property
    def elements(self) -> int:
        total = 1
        for size in self.shape:
            total *= size
        return total


@dataclass(frozen=True, eq=False)
class OperatorGraph:
    """The operators in program order, which is a topological order; `outputs` are those the model returns.

    `estimator` says how long things take on the target that plans over the graph are made for.
    """

    module: IRModule
    operators: tuple[Operator, ...]
    outputs: frozenset[int]
    estimator: Estimator
    representative: OperatorGraph | None = None
    """The same operators at representative sizes, where the module has symbolic ones."""

    @classmethod
    def of(
        cls, module: tvm.IRModule, estimator: Estimator | None = None, sizes: Sizes | None = None
    ) -> OperatorGraph | None:
        """Read `main`; None when it branches, which a plan of one straight program cannot express.

        Without an estimator, plans are made for this machine. `sizes` are representative ones of its symbols; without
        them nothing is known of symbolic shapes.
        """
        graph = cls._read(module, estimator or host_estimator())
        if graph is None or not sizes or not is_module_symbolic(module):
            return graph
        bound = cls._read(at_sizes(module, sizes), graph.estimator)
        if bound is None or [each.name for each in bound.operators] != [each.name for each in graph.operators]:
            raise ModelError("the model is another program at representative sizes than with symbolic ones")
        return replace(graph, representative=bound)

    @property
    def for_decisions(self) -> OperatorGraph:
        """The graph with numbers for all shapes: what is decided about it is written over this one, by index."""
        return self.representative or self

    @classmethod
    def _read(cls, module: tvm.IRModule, estimator: Estimator) -> OperatorGraph | None:
        main = module["main"]
        bindings = [binding for block in main.body.blocks for binding in block.bindings]
        if any(isinstance(getattr(binding, "value", None), relax.If | relax.Function) for binding in bindings):
            return None
        producer: dict[RelaxVar, int] = {}
        operators = []
        for index, binding in enumerate(bindings):
            read = tuple(dict.fromkeys(producer[v] for v in variables_read(binding.value) if v in producer))
            shape, dtype = tensor_type(binding.var)
            kind = kind_of(binding.value, module)
            operators.append(
                Operator(index, bound_name(binding.value), kind, read, shape, dtype, binding.var, binding.value)
            )
            producer[binding.var] = index
        returned = frozenset(producer[v] for v in variables_read(main.body.body) if v in producer)
        return cls(module, tuple(operators), returned, estimator)

    @cached_property
    def users(self) -> tuple[tuple[int, ...], ...]:
        """The operators that read each operator's value."""
        found: list[list[int]] = [[] for _ in self.operators]
        for operator in self.operators:
            for source in operator.inputs:
                found[source].append(operator.index)
        return tuple(map(tuple, found))

    def sink(self, index: int) -> int | None:
        """The operator that all uses of this one's value flow into (its immediate post-dominator); None at the end."""
        after = self._post_dominators[index]
        return None if after == _EXIT else after

    def between(self, start: int, sink: int) -> tuple[int, ...]:
        """The operators on the ways from `start` to its sink, without both."""
        seen: set[int] = set()
        waiting = [user for user in self.users[start] if user != sink]
        while waiting:
            index = waiting.pop()
            if index not in seen:
                seen.add(index)
                waiting += [user for user in self.users[index] if user != sink]
        return tuple(sorted(seen))

    def external_users(self, group: Iterable[int]) -> tuple[int, ...]:
        """The members of a group whose values are read outside of it, or returned."""
        members = set(group)
        return tuple(
            index for index in sorted(members) if index in self.outputs or not members.issuperset(self.users[index])
        )

    def constants(self, index: int) -> Iterator[RelaxConstant]:
        """The constants that an operator reads."""
        return (leaf for leaf in leaves(self.operators[index].value) if is_constant(leaf))

    @cached_property
    def _post_dominators(self) -> dict[int, int]:
        reverse = networkx.DiGraph()
        reverse.add_node(_EXIT)
        for operator in self.operators:
            users = self.users[operator.index]
            if operator.index in self.outputs or not users:
                reverse.add_edge(_EXIT, operator.index)
            reverse.add_edges_from((user, operator.index) for user in users)
        found: dict[int, int] = networkx.immediate_dominators(reverse, _EXIT)
        return found


def is_constant(expression: RelaxExpr) -> bool:
    """Whether an expression is a tensor known at compile time."""
    return isinstance(expression, tvm.ir.GenericConst)


def leaves(value: RelaxExpr) -> Iterator[RelaxExpr]:
    """Variables and constants in the order they are read; what `call_tir` wraps in a tuple included."""
    if tvm.ir.is_prim_expr(value):
        return
    if isinstance(value, relax.Var) or is_constant(value):
        yield value
    elif isinstance(value, tvm.ir.Call):
        for argument in value.args:
            yield from leaves(argument)
    elif isinstance(value, tvm.ir.Tuple):
        for field in value.fields:
            yield from leaves(field)
    elif isinstance(value, tvm.ir.TupleGetItem):
        yield from leaves(value.tuple_value if hasattr(value, "tuple_value") else value.tuple)


def variables_read(value: RelaxExpr) -> Iterator[RelaxVar]:
    """The variables among the leaves of an expression."""
    return (leaf for leaf in leaves(value) if isinstance(leaf, relax.Var))


def tensor_type(expression: RelaxExpr) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of a tensor with static shape; ((), "") for anything else."""
    shape = getattr(expression.ty, "shape", None)
    if shape is None or not all(hasattr(size, "value") for size in shape):
        return (), ""
    return tuple(int(size) for size in shape), str(expression.ty.dtype)


def bound_name(value: RelaxExpr) -> str:
    """What a bound value is called: the operator, or the function of a `call_tir`, or the kind of expression."""
    name = operator_name(value)
    return str(value.args[0].name_hint) if name == "call_tir" else name or type(value).__name__.lower()
