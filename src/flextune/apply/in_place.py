"""Concatenations and slices that cost nothing: tensors as parts of larger ones, written and read where they lie.

    a = conv(x); b = pool(x); c = concat(a, b); d = conv(c)

Here `a` and `b` are blocks of the buffer of `c`, their kernels write them with its strides, and no step is left of
`concat`. A chain of concatenations (DenseNet) becomes one buffer. A slice is the same the other way round: its readers
read a block of the whole. One step after the other is decided; a decision stands when

* every kernel that touches a part indexes it element by element, so that its strides can be changed,
* what lies without a gap in a part is at least `LEAST_RUN_BYTES`, so that kernels still write and read vectors,
* the activations need no more memory than without: a part keeps the whole alive.

What cannot be written in place is copied into its part, as long as that is the smaller half of a concatenation.
"""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import gcd

from flextune.aligned import ALIGNMENT_BYTES
from flextune.analysis.moves import Concatenation, Move, Slices, moved_by
from flextune.apply.element_places import Layout
from flextune.apply.memory_plan import Lifetime, least_bytes, plan_memory
from flextune.apply.program import Step
from flextune.apply.straight_line import Buffer, StraightLine
from flextune.schedule.strided import indexed_parameters

LEAST_RUN_BYTES = 32
"""Shorter runs would turn a kernel's vector stores into scattered ones."""


@dataclass(frozen=True, slots=True)
class Part:
    """`tensor` is the block of `whole` that begins at `begins` and runs along its `axes`."""

    tensor: int
    whole: int
    begins: tuple[int, ...]
    axes: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class CopyStep:
    """A step that copies `source` into the block of `whole` that begins at `begins`."""

    source: int
    whole: int
    begins: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Decisions:
    """The buffers that are parts of others, and the steps (by number) with the copies that are left of them."""

    parts: Mapping[Buffer, Part] = field(default_factory=dict)
    replaced: Mapping[int, tuple[CopyStep, ...]] = field(default_factory=dict)

    def steps(self, code: StraightLine) -> Iterator[Step | CopyStep]:
        """What is left to do, in order."""
        for index, step in enumerate(code.steps):
            yield from self.replaced.get(index, (step,))


def decide_in_place(code: StraightLine) -> Decisions:
    """Which buffers are parts of others."""
    planner = _Planner(code)
    for index in range(len(code.steps)):
        planner.decide(index)
    return planner.fitting()


def lifetimes(code: StraightLine, decisions: Decisions) -> dict[Buffer, Lifetime]:
    """The activations that hold what is not part of another, and when they are in use."""
    spans = activation_spans(code, decisions)
    return {buffer: Lifetime(buffer.nbytes, first, last) for buffer, (first, last) in spans.items()}


def activation_spans(code: StraightLine, decisions: Decisions) -> dict[Buffer, tuple[int, int]]:
    """The first and the last step, by number, that use each activation that is not part of another."""
    roots: dict[Buffer, Buffer] = {}
    used: dict[Buffer, list[int]] = defaultdict(list)
    for index, step in enumerate(decisions.steps(code)):
        for tensor in step.arguments if isinstance(step, Step) else (step.source, step.whole):
            buffer = code.tensors[tensor][1]
            if buffer not in roots:
                *_, roots[buffer] = _around(code, decisions, buffer)
            used[roots[buffer]].append(index)
    return {buffer: (at[0], at[-1]) for buffer, at in used.items() if buffer.place is None}


def _around(code: StraightLine, decisions: Decisions, buffer: Buffer) -> Iterator[Buffer]:
    """A buffer, the one it is a part of, and so on."""
    yield buffer
    while buffer in decisions.parts:
        buffer = code.tensors[decisions.parts[buffer].whole][1]
        yield buffer


class Homes:
    """Where tensors are: the buffer that holds each, and its layout there."""

    def __init__(self, code: StraightLine, parts: Mapping[Buffer, Part]) -> None:
        self._code, self._parts = code, parts
        self._known: dict[int, tuple[Buffer, Layout] | None] = {}

    def of(self, tensor: int) -> tuple[Buffer, Layout] | None:
        """None for a view that strides cannot express."""
        if tensor not in self._known:
            self._known[tensor] = self._found(tensor)
        return self._known[tensor]

    def _found(self, tensor: int) -> tuple[Buffer, Layout] | None:
        kind, buffer = self._code.tensors[tensor]
        part = self._parts.get(buffer)
        if part is None:
            return buffer, Layout.dense(kind.static_shape)
        if part.tensor == tensor:
            whole = self.of(part.whole)
            return whole and (whole[0], whole[1].part(part.begins, part.axes, kind.static_shape))
        viewed = self.of(part.tensor)
        layout = None if viewed is None else viewed[1].reshaped(kind.static_shape)
        return None if viewed is None or layout is None else (viewed[0], layout)


class _Planner:
    def __init__(self, code: StraightLine) -> None:
        self._code = code
        self._moves: dict[str, Move | None] = {}
        self._indexed: dict[str, frozenset[int]] = {}
        self._joined: dict[tuple[int, tuple[int, ...]], int] = {}
        self._leaves: dict[tuple[int, int], tuple[int, ...]] = {}
        self._uses: dict[Buffer, list[tuple[int, int, int]]] = defaultdict(list)
        for index, step in enumerate(code.steps):
            for position, tensor in enumerate(step.arguments):
                self._uses[code.tensors[tensor][1]].append((tensor, index, position))
        self._stages = [Decisions()]
        self._limit = self._planned(self._stages[0])

    def decide(self, index: int) -> None:
        """Replace a step that concatenates or slices, where that may be."""
        step = self._code.steps[index]
        move = self._move(step.kernel)
        if isinstance(move, Concatenation):
            inputs = [step.arguments[position] for position in move.inputs]
            self._concatenate(index, self._merged(inputs, move.axis, step.arguments[-1]), move.axis)
        if isinstance(move, Slices) and index not in self._stages[-1].replaced:
            parts = {each: found for each in self._slices_beside(index) if (found := self._slice(each))}
            if index in parts and not self._place(parts):
                self._place({index: parts[index]})

    def fitting(self) -> Decisions:
        """The most decisions with which the plan of the memory is no larger than without any."""
        if self._planned(self._stages[-1]) <= self._limit:
            return self._stages[-1]
        return self._stages[max(0, bisect(self._stages, self._limit, key=self._planned) - 1)]

    def _planned(self, decisions: Decisions) -> int:
        return plan_memory(list(lifetimes(self._code, decisions).values()), ALIGNMENT_BYTES).nbytes

    def _move(self, kernel: str | None) -> Move | None:
        if kernel is None:
            return None
        if kernel not in self._moves:
            self._moves[kernel] = moved_by(self._code.functions[kernel])
        return self._moves[kernel]

    def _merged(self, inputs: Sequence[int], axis: int, output: int) -> list[int]:
        """The inputs of a concatenation; a row of them that is concatenated already is one input.

        So DenseNet is a chain also where every concatenation lists all that came before.
        """
        leaves = [leaf for each in inputs for leaf in self._leaves.get((axis, each), (each,))]
        merged, begin = [], 0
        while begin < len(leaves):
            ends = range(len(leaves), begin, -1)
            end = next((end for end in ends if (axis, tuple(leaves[begin:end])) in self._joined), begin + 1)
            merged.append(self._joined.get((axis, tuple(leaves[begin:end])), leaves[begin]))
            begin = end
        self._joined.setdefault((axis, tuple(leaves)), output)
        self._leaves[axis, output] = tuple(leaves)
        return merged

    def _concatenate(self, index: int, inputs: Sequence[int], axis: int) -> None:
        output = self._code.steps[index].arguments[-1]
        sizes = [self._code.tensors[each][0].static_shape[axis] for each in inputs]
        rank = len(self._code.tensors[output][0].shape)
        begins = [tuple(at if each == axis else 0 for each in range(rank)) for at in accumulate(sizes, initial=0)]
        parts = [Part(*each, tuple(range(rank))) for each in zip(inputs, [output] * len(inputs), begins, strict=False)]
        chosen = self._writable(index, parts)
        while self._is_worthwhile(chosen, parts):
            trial = self._with(index, parts, chosen)
            if least_bytes(lifetimes(self._code, trial).values()) <= self._limit:
                self._stages.append(trial)
                return
            chosen.remove(min(chosen, key=self._first_use))

    def _writable(self, index: int, parts: Sequence[Part]) -> list[Part]:
        """The parts, one of each buffer, that may be where they belong as far as their kernels are concerned."""
        first: dict[Buffer, Part] = {}
        for part in parts:
            buffer = self._code.tensors[part.tensor][1]
            if (
                self._is_free(buffer)
                and buffer not in first
                and self._is_legal(self._with(index, parts, [part]), [part])
            ):
                first[buffer] = part
        return list(first.values())

    def _slices_beside(self, index: int) -> list[int]:
        """The steps from this one on that slice what it slices: the whole dies only when no copy of a part is left."""
        whole = self._code.steps[index].arguments[0]
        uses = dict.fromkeys(step for tensor, step, _ in self._uses[self._code.tensors[whole][1]] if tensor == whole)
        return [
            step for step in uses if step >= index and isinstance(self._move(self._code.steps[step].kernel), Slices)
        ]

    def _slice(self, index: int) -> list[Part]:
        """The results of a step that slices as parts of the whole; none where a kernel cannot use one."""
        step = self._code.steps[index]
        move = self._move(step.kernel)
        assert isinstance(move, Slices)
        whole, *results = step.arguments
        parts = [Part(each, whole, s.begins, s.axes) for each, s in zip(results, move.results, strict=True)]
        is_free = all(self._is_free(self._code.tensors[each][1]) for each in results)
        return parts if is_free and self._is_legal(self._with(index, parts, parts), parts) else []

    def _place(self, slices: Mapping[int, Sequence[Part]]) -> bool:
        """Take the results of these steps for parts, where the activations need no more memory for it."""
        trial = self._stages[-1]
        for index, parts in slices.items():
            trial = self._with(index, parts, parts, trial)
        fits = least_bytes(lifetimes(self._code, trial).values()) <= self._limit
        if fits:
            self._stages.append(trial)
        return fits

    def _with(
        self, index: int, parts: Sequence[Part], chosen: Sequence[Part], last: Decisions | None = None
    ) -> Decisions:
        """The decisions so far, and step `index` replaced: the chosen parts in place, the others copied."""
        last = last or self._stages[-1]
        placed = {self._code.tensors[part.tensor][1]: part for part in chosen}
        copies = tuple(CopyStep(part.tensor, part.whole, part.begins) for part in parts if part not in chosen)
        return Decisions({**last.parts, **placed}, {**last.replaced, index: copies})

    def _is_free(self, buffer: Buffer) -> bool:
        """Whether a buffer is an activation that has no place yet."""
        return buffer.place is None and buffer not in self._stages[-1].parts

    def _is_legal(self, decisions: Decisions, placed: Collection[Part]) -> bool:
        """Whether all steps can use what has moved with the parts that were placed last."""
        buffers = {self._code.tensors[part.tensor][1] for part in placed}
        moved = {buffer for buffer in decisions.parts if not buffers.isdisjoint(_around(self._code, decisions, buffer))}
        homes = Homes(self._code, decisions.parts)
        copied = (copy for copies in decisions.replaced.values() for copy in copies)
        needed = [tensor for copy in copied for tensor in (copy.source, copy.whole)]
        needed += [decisions.parts[buffer].tensor for buffer in moved]
        if any(self._code.tensors[each][1] in moved and homes.of(each) is None for each in needed):
            return False
        return all(
            self._may_use(homes.of(tensor), *use)
            for buffer in moved
            for tensor, *use in self._uses[buffer]
            if use[0] not in decisions.replaced
        )

    def _may_use(self, home: tuple[Buffer, Layout] | None, index: int, position: int) -> bool:
        """Whether a step can use a tensor in this place."""
        if home is None:
            return False
        step, layout = self._code.steps[index], home[1]
        itemsize = self._code.tensors[step.arguments[position]][0].itemsize
        if step.marker is not None:  # what enters or leaves a loop lives in its own place for all of it
            return False
        if layout.is_dense and gcd(home[0].alignment, layout.offset * itemsize) % ALIGNMENT_BYTES == 0:
            return True
        if step.kernel is None or not (layout.is_dense or layout.run * itemsize >= LEAST_RUN_BYTES):
            return False
        if step.kernel not in self._indexed:
            self._indexed[step.kernel] = indexed_parameters(self._code.functions[step.kernel])
        return position in self._indexed[step.kernel]

    def _is_worthwhile(self, chosen: Sequence[Part], parts: Sequence[Part]) -> bool:
        """Whether fewer bytes, in not more calls, are copied than stay where they are."""
        nbytes = [self._code.tensors[part.tensor][0].nbytes for part in chosen]
        total = self._code.tensors[parts[0].whole][0].nbytes
        return 0 < total <= 2 * sum(nbytes) and len(parts) <= 2 * len(nbytes)

    def _first_use(self, part: Part) -> int:
        return self._uses[self._code.tensors[part.tensor][1]][0][1]
