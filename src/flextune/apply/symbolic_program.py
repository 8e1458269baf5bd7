"""Straight-line code some of whose sizes are known only when it runs, as a `Program`.

Which buffers live at the same time does not depend on sizes, so that much is decided here; where they lie does, and the
C runtime decides it. Every tensor has memory of its own, or is a view of all of another's: parts of larger tensors and
memory that is shared because two numbers happen to be equal would be right for some sizes and wrong for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from flextune.analysis.sizes_of_shapes import plain
from flextune.apply.in_place import Decisions, activation_spans
from flextune.apply.kernel_sharing import steps_alone
from flextune.apply.kernel_variants import variants_of
from flextune.apply.program import Place, PlacedTensor, Port, Program, Size, SizedBuffer, Symbolic
from flextune.apply.signature import Signature
from flextune.apply.straight_line import Buffer, StraightLine
from flextune.apply.weight_block import weight_block
from flextune.errors import BuildError
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr


def symbolic_program(code: StraightLine, signature: Signature) -> tuple[Program, np.ndarray]:
    """The program, and its weights. BuildError where a tensor has a negative size for all sizes in range."""
    _check_sizes(code, signature.dims)
    offsets: dict[Buffer, int] = {}
    weights = weight_block(code, offsets)
    spans = activation_spans(code, Decisions())
    numbers = {buffer: number for number, buffer in enumerate(spans)}
    kinds = [kind for kind, _ in code.tensors]
    symbolic = Symbolic(
        signature.dims,
        tuple(SizedBuffer(buffer.byte_count, first, last) for buffer, (first, last) in spans.items()),
        tuple(numbers.get(buffer, -1) for _, buffer in code.tensors),
        (*code.equal, *map(_equal, signature.equal)),
        tuple(variants_of(code.steps, kinds, code.functions)),
        elements=tuple(_elements(code)),
        idle=tuple(_idle_steps(code, signature.dims)),
        alone=tuple(steps_alone(code.steps, kinds, code.functions, signature.dims)),
    )
    tensors = tuple(
        PlacedTensor(
            kind, Place.ACTIVATION if buffer.place is None else buffer.place, offsets.get(buffer, 0), buffer.port
        )
        for kind, buffer in code.tensors
    )
    inputs = tuple(Port(spec.name, index) for index, spec in enumerate(signature.inputs))
    outputs = tuple(Port(spec.name, tensor) for spec, tensor in zip(signature.outputs, code.results, strict=True))
    program = Program(tensors, tuple(code.steps), inputs, outputs, weights.size, 0, tuple(code.loops), symbolic)
    return program, weights


def _equal(text: str) -> tuple[Size, Size]:
    one, _, other = text.partition("=")
    return plain(DimExpr.parse(one)), plain(DimExpr.parse(other))


def _elements(code: StraightLine) -> Iterator[tuple[int, tuple[Size, ...]]]:
    sizes = dict(code.elements)
    for index, (_, buffer) in enumerate(code.tensors):
        if buffer in sizes:
            yield index, sizes[buffer]


def _idle_steps(code: StraightLine, dims: Sequence[Dim]) -> Iterator[tuple[int, Size]]:
    """Kernels that may have no element to write, with what they write in bytes: they divide by sizes of loops.

    The first step that has a tensor in memory of its own writes it. Markers of loops and branches have tensors too, so
    that this cannot be told there.
    """
    if code.loops or code.branches:
        return
    ranges, seen = {dim.name: dim for dim in dims}, {buffer for buffer, _ in code.elements}
    for number, step in enumerate(code.steps):
        written = False
        size = DimExpr.of(0)
        for kind, buffer in (code.tensors[argument] for argument in step.arguments):
            if buffer not in seen and buffer.place in (None, Place.OUTPUT):
                size, written = size + kind.byte_count, True
            seen.add(buffer)
        if step.kernel is not None and written and size.bounds(ranges)[0] <= 0:
            yield number, plain(size)


def may_be_empty(code: StraightLine, dims: Sequence[Dim]) -> bool:
    """Whether a tensor of unknown size may turn out to have no elements."""
    ranges = {dim.name: dim for dim in dims}
    sizes = {size for kind, _ in code.tensors for size in kind.shape if not isinstance(size, int)}
    return any(size.bounds(ranges)[0] <= 0 for size in sizes)


def largest(size: Size, dims: Sequence[Dim]) -> int:
    """A number that the size never exceeds."""
    return size if isinstance(size, int) else size.bounds({dim.name: dim for dim in dims})[1]


def _check_sizes(code: StraightLine, dims: Sequence[Dim]) -> None:
    """The runtime refuses sizes for which a tensor has a negative one; a model that fits no size is refused here."""
    for size in {size for kind, _ in code.tensors for size in kind.shape}:
        if largest(size, dims) < 0:
            ranges = ", ".join(map(str, dims))
            raise BuildError(f"no size in range suits the model: a tensor has the size {size} with {ranges}")
