"""Attention in a program of plain blocks: scores, their softmax and the product with the values, in whatever layouts.

    s[b, i, j] = score(sum over d of query[b, i, d] * key[b, d, j])       score: scale, mask
    p[b, i, :] = softmax(s[b, i, :])                                      guarded: 0 where that is NaN
    o[b, i, c] = result(sum over j of p[b, i, j] * value[b, j, c])

What is computed element by element, transposes included, is part of the expressions of the elements. In bfloat16 the
factors of both products, p among them, are rounded; sums and the softmax are float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import tvm_ffi
from tvm import tirx
from tvm.ir import TensorLoad

from flextune.analysis.bfloat16_expressions import narrowed, unrounded
from flextune.analysis.blocks import iterator_name, read_program
from flextune.analysis.element import Element, is_call, substituted
from flextune.analysis.program_facts import BlockFacts, BlockKind, ProgramFacts
from flextune.tvm_types import Buffer, BufferLoad, Expression, PrimFunc, Variable

_LOWEST = -3.4e38


@dataclass(frozen=True, slots=True, eq=False)
class AttentionFacts:
    """One attention; `batch` are the extents of all axes that are no part of its matrices.

    Elements are over (*batch, row, column) of their matrix. `target` are the places of `output` (a parameter) over
    (*batch, query, column). `online` says that the program asks for a softmax over blocks of keys. With `narrow` the
    factors of both products are bfloat16: query, key and value are stored elements, or float32 that is to be rounded.
    `result` is float32; whether it is rounded as it is stored is said by the type of `output`.
    """

    batch: tuple[int, ...]
    queries: int
    """Rows of the query."""
    keys: int
    depth: int
    """What the first product sums over."""
    columns: int
    """Of the value, and of the result."""
    query: Element
    key: Element
    value: Element
    score: Element
    """A score, made of a product of query and key: with its scale and mask."""
    result: Element
    target: tuple[Element, ...]
    output: Buffer
    guarded: bool
    """Whether weights that are NaN become 0."""
    online: bool
    narrow: bool = False

    @property
    def rounds_result(self) -> bool:
        """Whether results are stored as bfloat16."""
        return str(self.output.ty.dtype) != "float32"

    def reads(self) -> tuple[Buffer, ...]:
        """All parameters that are read."""
        elements = (self.query, self.key, self.value, self.score, self.result)
        return tuple(dict.fromkeys(buffer for element in elements for buffer in element.reads()))


ONLINE = "flextune.online"
"""The block annotation of a softmax that is to be computed over blocks of keys."""


def read_attention(function: PrimFunc) -> AttentionFacts | None:
    """The attention that is all of `function`; None where that is something else."""
    program = read_program(function)
    if program is None or any(block.kind is BlockKind.OPAQUE for block in program.blocks):
        return None
    if sum(block.kind is BlockKind.CONTRACTION for block in program.blocks) != 2:
        return None
    try:
        return _Reader(program).attention()
    except _OtherError:
        return None


class _OtherError(Exception):
    """The program is no attention."""


@dataclass
class _Reader:
    program: ProgramFacts
    used: set[str] = field(default_factory=set)

    def attention(self) -> AttentionFacts:
        iterators = [it.var for block in self.program.blocks for it in block.block.iter_vars]
        _require(all(str(variable.ty) == "int32" for variable in iterators))
        scores, values = self._products()
        weights, value = self._sides(values)
        score, weight_variables, guarded, online = self._softmax(weights, scores)
        query, key = (unrounded(self._expanded(side, ())) for side in self._sides(scores))
        result, target, output = self._result(values)
        facts = AttentionFacts(
            batch=tuple(it.extent for it in scores.spatial[:-2]),
            queries=scores.spatial[-2].extent,
            keys=scores.spatial[-1].extent,
            depth=scores.reduce[0].extent,
            columns=values.spatial[-1].extent,
            query=Element(_variables(scores, -2, "reduce"), query),
            key=Element((*_batch(scores), _variables(scores, -2, "reduce")[-1], _variables(scores, -2, -1)[-1]), key),
            value=Element(
                (*_batch(values), _variables(values, -2, "reduce")[-1], _variables(values, -2, -1)[-1]),
                unrounded(self._expanded(value, ())),
            ),
            score=Element(weight_variables, score, scores.block.body.buffer),
            result=result,
            target=target,
            output=output,
            guarded=guarded,
            online=online,
            narrow=self._narrow,
        )
        _require(self.used | {scores.name, values.name} == {block.name for block in self.program.blocks})
        _require(len(scores.reduce) == len(values.reduce) == 1 and values.reduce[0].extent == facts.keys)
        _require([it.extent for it in values.spatial[:-1]] == [*facts.batch, facts.queries])
        return facts

    def _sides(self, product: BlockFacts) -> tuple[Expression, Expression]:
        """The factors of a product; as they are stored where all factors are bfloat16."""
        left, right = self._terms(product)
        return (narrowed(left), narrowed(right)) if self._narrow else (left, right)

    @property
    def _narrow(self) -> bool:
        return all(narrowed(term) is not None for product in self._products() for term in self._terms(product))

    def _products(self) -> list[BlockFacts]:
        return [block for block in self.program.blocks if block.kind is BlockKind.CONTRACTION]

    def _terms(self, product: BlockFacts) -> tuple[Expression, Expression]:
        _require(len(product.spatial) >= 2 and product.iterators[-1].kind == "reduce")
        _require(product.writes[0].plain_axes() is not None and product.output.dtype == "float32")
        value = product.block.body.value
        term = (
            value.b
            if isinstance(value.a, TensorLoad) and value.a.source.same_as(product.block.body.buffer)
            else value.a
        )
        return term.a, term.b

    def _softmax(self, weights: Expression, scores: BlockFacts) -> tuple[Expression, tuple[Variable, ...], bool, bool]:
        """What `weights` loads, followed back to the scores: the element that the softmax is taken of."""
        largest, total = self._reductions()
        numerator = self._writer(_load(_operand(total)).source)
        if numerator is None:
            raise _OtherError
        exponent = numerator.block.body.value
        _require(is_call(exponent, "exp") and isinstance(exponent.args[0], tirx.Sub))
        shifted, top = _load(exponent.args[0].a), _load(exponent.args[0].b)
        _require(
            top.source.same_as(largest.block.body.buffer) and shifted.source.same_as(_load(_operand(largest)).source)
        )
        quotient = self._quotient(numerator, total)
        guarded = self._guard(_load(weights), quotient)
        for block in (numerator, largest, total, quotient):
            self.used.add(block.name)
        operand = _operand(largest)
        variables = tuple(it.var for it in largest.block.iter_vars)
        _require(all(i.same_as(v) or _is_zero_index(i) for i, v in zip(operand.indices, variables, strict=True)))
        element = self._expanded(operand, (scores.block.body.buffer,))
        _check_hole(element, scores.block.body.buffer, variables)
        online = ONLINE in largest.block.annotations
        return element, variables, guarded, online

    def _reductions(self) -> tuple[BlockFacts, BlockFacts]:
        found = [block for block in self.program.blocks if block.kind is BlockKind.REDUCTION]
        _require(len(found) == 2 and len(self.program.blocks) >= 6)
        by_kind = {type(block.block.body.value): block for block in found}
        _require(set(by_kind) == {tirx.Max, tirx.Add})
        largest, total = by_kind[tirx.Max], by_kind[tirx.Add]
        for block in found:
            _require(block.output.dtype == "float32" and block.writes[0].plain_axes() is not None)
            _require(len(block.reduce) == 1 and block.iterators[-1].kind == "reduce")
        start = largest.block.init.value
        _require(isinstance(start, tirx.FloatImm) and float(start.value) < _LOWEST)
        return largest, total

    def _quotient(self, numerator: BlockFacts, total: BlockFacts) -> BlockFacts:
        for block in self.program.consumers(total):
            value = unrounded(block.block.body.value)
            if isinstance(value, tirx.Div) and block.kind is BlockKind.ELEMENTWISE:
                _require(_load(value.a).source.same_as(numerator.block.body.buffer))
                _require(_load(value.b).source.same_as(total.block.body.buffer))
                return block
        raise _OtherError

    def _guard(self, weights: Expression, quotient: BlockFacts) -> bool:
        """Whether NaN becomes zero between the softmax and the product."""
        normal = quotient.block.body.buffer
        if weights.source.same_as(normal):
            return False
        value = unrounded(self._expanded(weights, (normal,)))
        _require(isinstance(value, tirx.Select) and is_call(value.condition, "isnan"))
        loads = [_load(value.condition.args[0]), _load(value.false_value)]
        _require(all(load.source.same_as(normal) for load in loads))
        _require(isinstance(value.true_value, tirx.FloatImm) and float(value.true_value.value) == 0.0)
        return True

    def _result(self, values: BlockFacts) -> tuple[Element, tuple[Element, ...], Buffer]:
        """What is stored, and where, over the axes of the second product."""
        last, hole = self.program.blocks[-1], values.block.body.buffer
        own = tuple(it.var for it in values.block.iter_vars)[:-1]
        if last is values:
            _require(last.output.parameter is not None)
            places = tuple(Element(own, index) for index in values.block.body.indices)
            return Element(own, tirx.BufferLoad(hole, list(own)), hole), places, hole
        _require(last.kind is BlockKind.ELEMENTWISE and last.output.parameter is not None)
        self.used.add(last.name)
        expression = unrounded(self._expanded(last.block.body.value, (hole,)))
        loads: list[BufferLoad] = []
        tvm_ffi.structural_walk(expression, (TensorLoad, loads.append))
        read = [load for load in loads if load.source.same_as(hole)]
        _require(bool(read) and all(tvm_ffi.structural_equal(list(read[0].indices), list(r.indices)) for r in read))
        loops = {it.var: int(it.dom.extent) for it in last.block.iter_vars}
        axes = {index: axis for index, axis in zip(read[0].indices, own, strict=True) if index in loops}
        _require(all(variable in axes or extent == 1 for variable, extent in loops.items()))
        _require(all(loops[index] == values.extent(iterator_name(axis)) for index, axis in axes.items()))
        given = {variable: axes.get(variable, tirx.const(0, "int32")) for variable in loops}
        store = last.block.body
        result = Element(own, substituted(expression, given), hole)
        return result, tuple(Element(own, substituted(index, given)) for index in store.indices), store.buffer

    def _writer(self, buffer: Buffer) -> BlockFacts | None:
        return next((b for b in self.program.blocks if b.block.body.buffer.same_as(buffer)), None)

    def _expanded(self, expression: Expression, stops: Iterable[Buffer]) -> Expression:
        """The expression with every load of what an element-wise block writes replaced by what that computes."""

        def load(node: BufferLoad) -> Expression:
            if any(node.source.same_as(stop) for stop in stops):
                return node
            writer = self._writer(node.source)
            if writer is None:
                return node
            axes = writer.writes[0].plain_axes()
            _require(writer.kind is BlockKind.ELEMENTWISE and axes is not None)
            self.used.add(writer.name)
            places = dict(zip(axes or (), node.indices, strict=True))
            given = {it.var: places.get(iterator_name(it.var), tirx.const(0, "int32")) for it in writer.block.iter_vars}
            return self._expanded(substituted(writer.block.body.value, given), stops)

        return tvm_ffi.structural_map(expression, (TensorLoad, load))


def _require(condition: object) -> None:
    if not condition:
        raise _OtherError


def _batch(product: BlockFacts) -> tuple[Variable, ...]:
    return tuple(it.var for it in product.block.iter_vars)[: len(product.spatial) - 2]


def _variables(product: BlockFacts, *places: int | str) -> tuple[Variable, ...]:
    """The batch variables, and those of some spatial axes or of the reduction."""
    every = tuple(it.var for it in product.block.iter_vars)
    spatial = every[: len(product.spatial)]
    return (*_batch(product), *(every[-1] if place == "reduce" else spatial[place] for place in places))  # type: ignore[index]


def _operand(reduction: BlockFacts) -> BufferLoad:
    """What a reduction `r = op(r, x)` combines."""
    value, own = reduction.block.body.value, reduction.block.body.buffer
    sides = [side for side in (value.a, value.b) if not _load(side).source.same_as(own)]
    _require(len(sides) == 1)
    return sides[0]


def _load(expression: Expression) -> BufferLoad:
    _require(isinstance(expression, TensorLoad))
    return expression


def _is_zero_index(index: Expression) -> bool:
    return isinstance(index, tirx.IntImm) and int(index) == 0


def _check_hole(expression: Expression, hole: Buffer, variables: Sequence[Variable]) -> None:
    """The scores must be read at the place that is computed."""
    loads: list[BufferLoad] = []
    tvm_ffi.structural_walk(expression, (TensorLoad, loads.append))
    own = [load for load in loads if load.source.same_as(hole)]
    _require(own)
    for load in own:
        _require(all(i.same_as(v) or _is_zero_index(i) for i, v in zip(load.indices, variables, strict=True)))
