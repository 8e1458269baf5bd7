"""Matrix products that read and write through transposes: the heads of attention without a copy.

before: a = permute_dims(q); b = permute_dims(k); s = matmul(a, b); m = add(s, mask)   -->   after: one kernel
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from flextune.lowering.operator_graph import OperatorGraph
from flextune.lowering.precision.stored_weights import STORED_PRODUCT
from flextune.plan.fusion.pattern import MAX_OPERATORS, Group, with_epilogue
from flextune.tvm_types import RelaxExpr

_TRANSPOSE = "permute_dims"


def products(graph: OperatorGraph, free: Set[int]) -> Iterator[Group]:
    """A matrix product, what is computed from it element by element, and the transposes before and behind.

    The left operand is read row by row, so only a transpose that keeps its rows contiguous is taken in; the right
    operand is packed, from whatever layout it has. So is the result written: its rows must stay contiguous.
    """
    for operator in graph.operators:
        if operator.index in free and (operator.name == "matmul" or operator.name.startswith(STORED_PRODUCT)):
            group = with_epilogue(graph, operator.index, free)
            before = _transposed_operands(graph, operator.index, free)
            behind = transposed_result(graph, group[-1], free)
            whole = (*before, *group, *behind)
            yield tuple(sorted(whole)) if len(whole) <= MAX_OPERATORS else group


def _transposed_operands(graph: OperatorGraph, product: int, free: Set[int]) -> tuple[int, ...]:
    found = []
    for place, argument in enumerate(graph.operators[product].value.args[:2]):
        index = _transpose_of(graph, product, argument)
        alone = index is not None and index in free and index not in graph.outputs and graph.users[index] == (product,)
        if index is not None and alone and (place == 1 or _keeps_rows(graph, index)):
            found.append(index)
    return tuple(found)


def transposed_result(graph: OperatorGraph, last: int, free: Set[int]) -> tuple[int, ...]:
    """The transpose that alone reads a value, if rows stay contiguous; () otherwise."""
    users = graph.users[last]
    if last in graph.outputs or len(users) != 1 or users[0] not in free:
        return ()
    is_transpose = graph.operators[users[0]].name == _TRANSPOSE
    return users if is_transpose and _keeps_rows(graph, users[0]) else ()


def _transpose_of(graph: OperatorGraph, reader: int, argument: RelaxExpr) -> int | None:
    """The transpose that computes an argument of an operator."""
    sources = (graph.operators[index] for index in graph.operators[reader].inputs)
    return next((s.index for s in sources if s.name == _TRANSPOSE and s.variable.same_as(argument)), None)


def _keeps_rows(graph: OperatorGraph, index: int) -> bool:
    """Whether the last axis stays the last one."""
    operator = graph.operators[index]
    axes, rank = operator.value.attrs.axes, len(operator.shape)
    return axes is not None and int(axes[-1]) % rank == rank - 1
