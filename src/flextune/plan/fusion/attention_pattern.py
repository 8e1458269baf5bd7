"""Attention as one group: scores, their softmax, and the product with the values, with the transposes around them.

before: s = matmul(q, k); m = add(s, mask); p = softmax(m); o = matmul(p, v); r = permute_dims(o)
after:  one kernel
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from flextune.lowering.operator_graph import OperatorGraph, is_constant, leaves
from flextune.plan.algorithms.online_softmax import AttentionShape
from flextune.plan.alternative import FUSED, Alternative
from flextune.plan.fusion.pattern import MAX_OPERATORS, Group, is_elementwise, with_epilogue
from flextune.plan.fusion.product_pattern import transposed_result
from flextune.tvm_types import RelaxExpr

PATTERN = "attention"
"""The name of the pattern."""

ONLINE = Alternative(algorithm="online")
"""Attention over blocks of keys."""

_PRODUCT, _SOFTMAX, _TRANSPOSE = "matmul", "nn.softmax", "permute_dims"


def attention(graph: OperatorGraph, free: Set[int]) -> Iterator[Group]:
    """A product of matrices, the softmax of its rows, and the product with that on its left.

    Between them may be what is computed element by element (scale, mask), and the guard of PyTorch's softmax, which
    replaces NaN by zero. The operands may be transposed and scaled by constants before, the result transposed behind.
    """
    for operator in graph.operators:
        if operator.index in free and operator.name == _PRODUCT and _is_float32(graph, operator.index):
            found = _from_scores(graph, operator.index, free)
            if found is not None and len(found) <= MAX_OPERATORS:
                yield found


def attention_shape(graph: OperatorGraph, group: Group) -> AttentionShape:
    """The extents of a group that `attention` found."""
    scores, values = (graph.operators[index] for index in group if graph.operators[index].name == _PRODUCT)
    queries, keys = scores.shape[-2:]
    depth = int(scores.value.args[0].ty.shape[-1])
    return AttentionShape(queries, keys, depth, values.shape[-1])


def preferred_form(graph: OperatorGraph, group: Group) -> Alternative:
    """The alternative that is predicted to be the fastest."""
    return ONLINE if attention_shape(graph, group).prefers_online else FUSED


def _from_scores(graph: OperatorGraph, scores: int, free: Set[int]) -> Group | None:
    chain = with_epilogue(graph, scores, free)
    softmax = _only_user(graph, chain[-1], free)
    if softmax is None or not _normalises_rows(graph, softmax):
        return None
    guard = _guard(graph, softmax, free)
    last = guard[-1] if guard else softmax
    product = _only_user(graph, last, free)
    if product is None or not _is_left_operand(graph, last, product):
        return None
    after = with_epilogue(graph, product, free)
    behind = transposed_result(graph, after[-1], free)
    before = [
        index
        for reader, place in ((scores, 0), (scores, 1), (product, 1))
        for index in _prepared(graph, reader, place, free)
    ]
    return tuple(sorted({*before, *chain, softmax, *guard, *after, *behind}))


def _only_user(graph: OperatorGraph, index: int, free: Set[int]) -> int | None:
    users = graph.users[index]
    return users[0] if len(users) == 1 and users[0] in free and index not in graph.outputs else None


def _normalises_rows(graph: OperatorGraph, index: int) -> bool:
    operator = graph.operators[index]
    return operator.name == _SOFTMAX and int(operator.value.attrs.axis) % len(operator.shape) == len(operator.shape) - 1


def _guard(graph: OperatorGraph, softmax: int, free: Set[int]) -> tuple[int, ...]:
    """The operators of where(isnan(p), 0, p) for the softmax p; () where there is no such guard."""
    users = [graph.operators[index] for index in graph.users[softmax]]
    if softmax in graph.outputs or sorted(user.name for user in users) != ["isnan", "where"]:
        return ()
    test, choice = sorted(users, key=lambda user: user.name)
    condition, guarded, plain = choice.value.args
    fits = (
        condition.same_as(test.variable)
        and plain.same_as(graph.operators[softmax].variable)
        and _is_zero(guarded)
        and graph.users[test.index] == (choice.index,)
        and test.index not in graph.outputs
        and {test.index, choice.index} <= free
    )
    return (test.index, choice.index) if fits else ()


def _is_zero(expression: RelaxExpr) -> bool:
    return is_constant(expression) and len(expression.ty.shape) == 0 and float(expression.value.numpy()) == 0.0


def _is_left_operand(graph: OperatorGraph, index: int, product: int) -> bool:
    operator, variable = graph.operators[product], graph.operators[index].variable
    if operator.name != _PRODUCT or not _is_float32(graph, product):
        return False
    left, right = operator.value.args
    return bool(left.same_as(variable)) and not right.same_as(variable)


def _is_float32(graph: OperatorGraph, index: int) -> bool:
    """Whether a product is of two tensors of float32 with static shapes, of two dimensions at least."""
    operator = graph.operators[index]
    types = [argument.ty for argument in operator.value.args]
    return (
        operator.dtype == "float32"
        and len(operator.shape) >= 2
        and all(str(each.dtype) == "float32" and len(each.shape) >= 2 for each in types)
    )


def _prepared(graph: OperatorGraph, reader: int, place: int, free: Set[int]) -> Iterator[int]:
    """The transposes of an operand, and what scales it by constants, back to what others read as well."""
    variable = graph.operators[reader].value.args[place]
    while True:
        sources = (graph.operators[index] for index in graph.operators[reader].inputs)
        source = next((each for each in sources if each.variable.same_as(variable)), None)
        if source is None or source.index not in free or source.index in graph.outputs:
            return
        if graph.users[source.index] != (reader,) or not _moves_or_scales(graph, source.index):
            return
        yield source.index
        reader = source.index
        variable = next(leaf for leaf in leaves(source.value) if not is_constant(leaf))


def _moves_or_scales(graph: OperatorGraph, index: int) -> bool:
    operator = graph.operators[index]
    read = [leaf for leaf in leaves(operator.value) if not is_constant(leaf)]
    if len(read) != 1:
        return False
    of_constants = all(int(extent) == 1 for leaf in graph.constants(index) for extent in leaf.ty.shape)
    return operator.name == _TRANSPOSE or (is_elementwise(graph, index) and of_constants)
