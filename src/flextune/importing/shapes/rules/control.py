"""Branches and loops: what holds after either branch, and after any number of iterations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx

from flextune.importing.shapes.call import Call, UntrackedError, positive_axis
from flextune.importing.shapes.ratio import ONE, Ratio
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Elements, Known, Shape, Tracked, TrackedSequence
from flextune.workload.dim_expr import DimExpr

_INT64, _BOOL = onnx.TensorProto.INT64, onnx.TensorProto.BOOL
_MOST_ROUNDS = 4


@shape_rule("If")
def branch(call: Call) -> list[Known]:
    """The results of the branch that is taken, or what the two have in common."""
    chosen = _only(call, 0)
    if chosen is not None:
        return list(call.scope.inside(call.raw("then_branch" if chosen == ONE else "else_branch"), ()))
    yes, no = (call.scope.inside(call.raw(name), ()) for name in ("then_branch", "else_branch"))
    return [_common(call, output, a, b) for output, (a, b) in enumerate(zip(yes, no, strict=True))]


def _only(call: Call, position: int) -> Ratio | None:
    """The element of an input of one element, if it is known."""
    if not call.given(position):
        return None
    elements = call.input(position).elements
    return None if elements is None or elements.size != 1 else elements.reshape(-1)[0]


def _common(call: Call, output: int, a: Known, b: Known) -> Known:
    """What is one of two values; a size in which they differ is decided by data."""
    if isinstance(a, TrackedSequence) or isinstance(b, TrackedSequence):
        return a
    if a.shape is None or b.shape is None:
        return a.with_shape(None)
    if len(a.shape) != len(b.shape):
        raise UntrackedError(f"its branches give tensors of {len(a.shape)} and of {len(b.shape)} dimensions")
    shape = [
        x if x == y else call.fresh(call.largest(x, y), f"dimension {axis} of a branch", output)
        for axis, (x, y) in enumerate(zip(a.shape, b.shape, strict=True))
    ]
    return Tracked(a.dtype, tuple(shape), _agreed(a.elements, b.elements))


def _agreed(a: Elements | None, b: Elements | None) -> Elements | None:
    if a is None or b is None or a.shape != b.shape:
        return None
    found = a.copy()
    for index, other in zip(range(a.size), b.reshape(-1), strict=True):
        if found.reshape(-1)[index] != other:
            found.reshape(-1)[index] = None
    return found


@shape_rule("Loop")
def loop(call: Call) -> list[Known]:
    """Carried values, then what every iteration collects."""
    body: onnx.GraphProto = call.raw("body")
    carried = len(call.inputs) - 2
    start = [_without_elements(_known(call, position)) for position in range(2, len(call.inputs))]
    number, condition = Tracked(_INT64, ()), Tracked(_BOOL, ())
    state = _State(call, start)
    results = state.settle(lambda values: call.scope.inside(body, (number, condition, *values))[1:], carried)
    ends = call.scope.inside(body, (number, condition, *state.values))[0]
    steps = _iterations(call, ends, needed=bool(results[carried:]) or bool(state.growth))
    return [*state.after(steps), *(_stacked(each, steps, 0) for each in results[carried:])]


def _known(call: Call, position: int) -> Known:
    found = call.inputs[position]
    if found is None:
        raise UntrackedError(f"it has no input {position}")
    return found


def _without_elements(value: Known) -> Known:
    return value.with_shape(value.shape) if isinstance(value, Tracked) else value


def _iterations(call: Call, ends: Known, needed: bool) -> DimExpr:
    """How many there are: the trip count, if no condition ends the loop before."""
    if not needed:
        return DimExpr.of(0)
    begins, limit = _only(call, 1), _only(call, 0)
    goes_on = isinstance(ends, Tracked) and ends.elements is not None and ends.elements.reshape(-1)[0] == ONE
    most = None if limit is None or limit.size is None else call.largest(limit.size, DimExpr.of(0))
    if most is not None and goes_on and (begins == ONE or not call.given(1)):
        return most
    return call.fresh(most, "iterations")


def _stacked(slice_of: Known, steps: DimExpr, axis: int) -> Tracked:
    if not isinstance(slice_of, Tracked) or slice_of.shape is None:
        raise UntrackedError("the shape of what an iteration collects is not known")
    at = positive_axis(axis, len(slice_of.shape) + 1)
    return slice_of.with_shape((*slice_of.shape[:at], steps, *slice_of.shape[at:]))


@dataclass
class _State:
    """The values that iterations carry on: of shapes that hold before and after each."""

    call: Call
    values: list[Known]

    def __post_init__(self) -> None:
        self._first = list(self.values)
        self._open: dict[tuple[int, int], DimExpr] = {}
        self.growth: dict[tuple[int, int], DimExpr] = {}

    def settle(self, body: Callable[[Sequence[Known]], Sequence[Known]], carried: int) -> Sequence[Known]:
        """The body's results for values that stay of their shape; sizes that change get names of their own."""
        for _ in range(_MOST_ROUNDS):
            results = body(self.values)
            widened = [self._widened(number, results[number]) for number in range(carried)]
            if all(a is b for a, b in zip(widened, self.values, strict=True)):
                self._find_growth(results)
                return results
            self.values = widened
        raise UntrackedError("the shapes that its iterations carry on do not settle")

    def _widened(self, number: int, after: Known) -> Known:
        before = self.values[number]
        if not isinstance(before, Tracked) or not isinstance(after, Tracked) or before.shape is None:
            return before
        if after.shape is None or len(after.shape) != len(before.shape):
            raise UntrackedError(f"the number of dimensions of value {number} that it carries on changes")
        sizes = list(before.shape)
        for axis, (old, new) in enumerate(zip(before.shape, after.shape, strict=True)):
            if old != new and (number, axis) not in self._open:
                sizes[axis] = self.call.fresh(None, f"dimension {axis} of a value that a loop carries on", number)
                self._open[number, axis] = sizes[axis]
        return before if tuple(sizes) == before.shape else before.with_shape(sizes)

    def _find_growth(self, results: Sequence[Known]) -> None:
        """By how much the sizes with names of their own grow with each iteration, where that stays the same."""
        names = {size.name for size in self._open.values()}
        for (number, axis), size in self._open.items():
            after = results[number]
            if isinstance(after, Tracked) and after.shape is not None:
                grown = after.shape[axis] - size
                if not grown.names & names:
                    self.growth[number, axis] = grown

    def after(self, steps: DimExpr) -> list[Known]:
        """The values after so many iterations."""
        return [self._last(number, value, steps) for number, value in enumerate(self.values)]

    def _last(self, number: int, value: Known, steps: DimExpr) -> Known:
        first = self._first[number]
        if (
            not isinstance(value, Tracked)
            or not isinstance(first, Tracked)
            or value.shape is None
            or first.shape is None
        ):
            return value
        sizes = [
            first.shape[axis] + self.growth[number, axis] * steps if (number, axis) in self.growth else size
            for axis, size in enumerate(value.shape)
        ]
        return value.with_shape(sizes)


@shape_rule("Scan")
def scan(call: Call) -> list[Known]:
    """States, then what every step collects, along the axes that the attributes name."""
    if call.opset < 9:
        raise UntrackedError(
            "Scan of version 8, with batches, is not supported: convert the model to version 9 or later"
        )
    body: onnx.GraphProto = call.raw("body")
    scanned = call.attribute("num_scan_inputs", 0)
    states = len(call.inputs) - scanned
    axes: tuple[int, ...] = call.attribute("scan_input_axes", (0,) * scanned)
    shapes = [call.shape(position) for position in range(states, len(call.inputs))]
    taken = [positive_axis(axis, len(shape)) for axis, shape in zip(axes, shapes, strict=True)]
    steps = shapes[0][taken[0]]
    for axis, shape in zip(taken, shapes, strict=True):
        steps = call.same(steps, shape[axis])
    slices = [_slice(call, states + at, axis, shapes[at]) for at, axis in enumerate(taken)]
    start = [_without_elements(_known(call, position)) for position in range(states)]
    results = call.scope.inside(body, (*start, *slices))
    places: tuple[int, ...] = call.attribute("scan_output_axes", (0,) * (len(results) - states))
    collected = [_stacked(each, steps, axis) for each, axis in zip(results[states:], places, strict=True)]
    return [*start, *collected]


def _slice(call: Call, position: int, axis: int, shape: Shape) -> Tracked:
    return call.like(position, (*shape[:axis], *shape[axis + 1 :]))


@shape_rule("SequenceMap")
def map_sequence(call: Call) -> list[Known]:
    """The body for each item of the first sequence, and of the others that are sequences."""
    body: onnx.GraphProto = call.raw("body")
    inputs = [_known(call, position) for position in range(len(call.inputs))]
    results = call.scope.inside(body, [each.element if isinstance(each, TrackedSequence) else each for each in inputs])
    length = call.sequence(0).length
    return [TrackedSequence(length, each) if isinstance(each, Tracked) else each for each in results]
