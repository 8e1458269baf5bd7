"""Horizontal fusion: products that read one tensor as one product, whose result is cut by slices.

before: a = relu(conv(x, w1) + b1); b = relu(conv(x, w2) + b2)
after:  c = relu(conv(x, [w1 w2]) + [b1 b2]); a = c[..., :17]; b = c[..., 17:]

The slices are read in place (`flextune.apply.in_place`), so they cost nothing. The operations are the same, so only two
things are gained: launches, and vectors that the parts do not fill (17, 19 and 23 channels are two vectors of 16 each,
59 are four). Products without either are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import tvm
import tvm_ffi
from tvm import relax

from flextune.lowering.emit import Emitter, outer_leaves
from flextune.lowering.estimator import Estimator
from flextune.lowering.operator_graph import Operator, OperatorGraph, is_constant, variables_read
from flextune.lowering.operator_kinds import Kind
from flextune.plan.algorithms.winograd import convolution_facts, winograd_sizes
from flextune.plan.fusion.pattern import Group
from flextune.tvm_types import RelaxCall, RelaxConstant, RelaxExpr, RelaxVar
from flextune.workload.work import Work

MERGED_PRODUCTS = "merged-products"

WORTH_MERGING = 0.95
"""Products are merged when that is predicted to take at most so much of their time: a new width may fit tiles worse."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product's operations per column of its result, columns, and bytes apart from those of its weights' columns."""

    column_flops: int
    column_bytes: int
    columns: int
    shared_bytes: int

    @property
    def work(self) -> Work:
        nbytes = self.shared_bytes + self.column_bytes * self.columns
        return Work(self.columns * self.column_flops, nbytes, columns=self.columns)


def is_worth_merging(products: Sequence[Product], estimator: Estimator) -> bool:
    """Whether products that differ in their columns alone are predicted to be clearly faster as one."""
    first = products[0]
    columns = sum(product.columns for product in products)
    merged = Product(first.column_flops, first.column_bytes, columns, first.shared_bytes)
    return estimator.secs(merged.work) <= WORTH_MERGING * sum(estimator.secs(product.work) for product in products)


def mergeable(graph: OperatorGraph, groups: Sequence[Group]) -> Iterator[tuple[Group, ...]]:
    """Those of the groups that are better computed as one product, each set once, in program order."""
    alike: dict[Hashable, list[Group]] = defaultdict(list)
    for group in groups:
        key = _key(graph, group)
        if key is not None:
            alike[key].append(group)
    for branches in alike.values():
        while len(branches) > 1:
            fitting = [branch for branch in branches if merged_values(graph, (branches[0], branch)) is not None]
            branches = [branch for branch in branches[1:] if branch not in fitting]
            products = [_product(graph, branch) for branch in fitting]
            if len(fitting) > 1 and is_worth_merging(products, graph.estimator):
                yield tuple(fitting)


def merged_values(graph: OperatorGraph, branches: Sequence[Group]) -> dict[int, RelaxExpr] | None:
    """The first branch's operators on the constants of all branches side by side; None where more than these differ."""
    places = {graph.operators[index].variable: place for branch in branches for place, index in enumerate(branch)}
    columns = [graph.operators[branch[0]].shape[-1] for branch in branches]
    found = {}
    for operators in zip(*branches, strict=True):
        value = _merged([graph.operators[index].value for index in operators], places, columns)
        if value is None:
            return None
        found[operators[0]] = value
    return found


def emit_merged(branches: Sequence[Group], emitter: Emitter) -> None:
    """One product, and a slice of its result for every branch."""
    graph = emitter.graph
    value = emitter.group(branches[0], merged_values(graph, branches))
    begin = 0
    for branch in branches:
        last = graph.operators[branch[-1]]
        end = begin + last.shape[-1]
        part = relax.op.strided_slice(value, axes=[len(last.shape) - 1], begin=[begin], end=[end])
        emitter.values[last.variable] = emitter.builder.emit(part)
        begin = end


def _key(graph: OperatorGraph, group: Group) -> Hashable | None:
    """Equal for groups that may be merged, as far as their operators and shapes say; None for no such group.

    What follows a product must keep its shape. Winograd's algorithm is worth more than merging. A result that is
    returned or goes into a concatenation is written where it belongs; a slice would be copied there.
    """
    anchor, *behind = (graph.operators[index] for index in group)
    data = _data(anchor)
    if data is None or set(_outside(graph, group)) != {data} or _is_placed(graph, group[-1]):
        return None
    if any(each.kind is not Kind.ELEMENTWISE or each.shape != anchor.shape for each in behind):
        return None
    if any(data in variables_read(each.value) for each in behind) or {each.dtype for each in behind} - {"float32"}:
        return None
    weight = tuple(int(size) for size in anchor.value.args[1].ty.shape)
    names = tuple(graph.operators[index].name for index in group)
    return data, weight[:-1], anchor.shape[:-1], names


def _data(anchor: Operator) -> RelaxVar | None:
    """What a product with constant weights reads, its last axis and that of the weights being columns; else None."""
    if anchor.dtype != "float32" or anchor.name not in ("matmul", "nn.conv2d"):
        return None
    data, weight = anchor.value.args[:2]
    if not isinstance(data, relax.Var) or not is_constant(weight):
        return None
    if str(data.ty.dtype) != "float32" or str(weight.ty.dtype) != "float32":
        return None
    if anchor.name == "matmul":
        return data if len(weight.ty.shape) == 2 else None
    facts = convolution_facts(anchor.value)
    return None if facts is None or facts.groups != 1 or winograd_sizes(facts) else data


def _outside(graph: OperatorGraph, group: Group) -> Iterator[RelaxVar]:
    leaves = outer_leaves([graph.operators[index] for index in group])
    return (leaf for leaf in leaves if not is_constant(leaf))


def _is_placed(graph: OperatorGraph, index: int) -> bool:
    """Whether a value, or a view of it, is returned or concatenated."""
    users = [graph.operators[user] for user in graph.users[index]]
    same = (user.index for user in users if user.kind is Kind.VIEW or user.name == "tuple")
    concatenated = any(user.kind is Kind.CONCAT for user in users)
    return index in graph.outputs or concatenated or any(_is_placed(graph, each) for each in same)


def _product(graph: OperatorGraph, group: Group) -> Product:
    anchor = graph.operators[group[0]]
    data, weight = (tuple(int(size) for size in each.ty.shape) for each in anchor.value.args[:2])
    rows, depth = prod(anchor.shape[:-1]), prod(weight[:-1])
    return Product(2 * rows * depth, 4 * (depth + rows), anchor.shape[-1], 4 * prod(data))


def _merged(values: Sequence[RelaxExpr], places: Mapping[RelaxVar, int], columns: Sequence[int]) -> RelaxExpr:
    """One expression for several that differ in constants alone; None where they differ in more."""
    first = values[0]
    if is_constant(first):
        return _side_by_side(values, columns) if all(map(is_constant, values)) else None
    if isinstance(first, relax.Var):
        if first in places:
            return first if {places.get(value) for value in values} == {places[first]} else None
        return first if all(first.same_as(value) for value in values) else None
    if not isinstance(first, tvm.ir.Call):
        return first if all(tvm_ffi.structural_equal(first, value) for value in values) else None
    if first.ty_args or not all(_is_same_call(first, value) for value in values):
        return None
    arguments = [_merged(each, places, columns) for each in zip(*(value.args for value in values), strict=True)]
    return None if any(each is None for each in arguments) else tvm.ir.Call(first.op, arguments, first.attrs)


def _is_same_call(first: RelaxCall, other: RelaxExpr) -> bool:
    """Whether two calls differ in their arguments alone."""
    return (
        isinstance(other, tvm.ir.Call)
        and first.op.same_as(other.op)
        and len(first.args) == len(other.args)
        and tvm_ffi.structural_equal(first.attrs, other.attrs)
    )


def _side_by_side(constants: Sequence[RelaxConstant], columns: Sequence[int]) -> RelaxConstant | None:
    """The constants along the columns; equal ones without dimensions stay as they are."""
    arrays: list[np.ndarray] = [np.from_dlpack(constant.value) for constant in constants]
    if arrays[0].ndim == 0 and all(array.dtype == arrays[0].dtype and array == arrays[0] for array in arrays):
        return constants[0]
    if len({(max(array.ndim, 1), array.shape[:-1], array.dtype) for array in arrays}) != 1:
        return None
    parts = zip(arrays, columns, strict=True)
    wide = [np.broadcast_to(array, (*array.shape[:-1], size)) for array, size in parts]
    joined = np.concatenate(wide, axis=-1)
    return relax.const(joined, str(joined.dtype))
