"""Which layouts a fusion group can be computed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tvm import relax

from flextune.lowering.layout import NHWC, Layout
from flextune.lowering.operator_graph import Operator, OperatorGraph, tensor_type, variables_read
from flextune.plan.fusion.algorithms import WINOGRAD
from flextune.plan.fusion.plan import FusionGroup
from flextune.plan.layouts.image_operators import CONVOLUTION, is_depthwise, is_flexible, move_of
from flextune.plan.layouts.layout_assignment import LayoutPair
from flextune.tvm_types import RelaxVar


@dataclass(frozen=True, slots=True, eq=False)
class GroupLayouts:
    """A group that has a choice: its place in the plan, its possible layouts, and the variables it reads as what.

    `data` are read in the first layout of a pair, `others` in the second, which the result is in too.
    """

    place: int
    pairs: tuple[LayoutPair, ...]
    data: tuple[RelaxVar, ...]
    others: tuple[RelaxVar, ...]


def group_layouts(
    graph: OperatorGraph, place: int, group: FusionGroup, layouts: Sequence[Layout]
) -> GroupLayouts | None:
    """The choice of one group; None where it is not about images, or is computed in NHWC only.

    Convolutions that Winograd's algorithm may compute stay in NHWC, which that algorithm is written for; so do merged
    ones, whose results are slices.
    """
    operators = [graph.operators[index] for index in group.operators]
    if len(group.results) > 1:
        return None
    if len(operators) == 1 and move_of(operators[0]) is not None:
        return _transpose(operators[0], place, layouts)
    if not all(map(is_flexible, operators)):
        return None
    convolutions = [operator for operator in operators if operator.name == CONVOLUTION]
    if not convolutions:
        read = _outside(operators, operators)
        fitting = _fitting(layouts, operators, read)
        return GroupLayouts(place, tuple(LayoutPair(each, each) for each in fitting), (), read)
    if len(convolutions) > 1 or any(True for _ in WINOGRAD.find(graph, group)):
        return None
    return _convolution(convolutions[0], operators, place, layouts)


def _convolution(
    convolution: Operator, operators: Sequence[Operator], place: int, layouts: Sequence[Layout]
) -> GroupLayouts | None:
    data = convolution.value.args[0]
    if not isinstance(data, relax.Var) or any(data.same_as(operator.variable) for operator in operators):
        return None
    others = _outside([operator for operator in operators if operator is not convolution], operators)
    results = _fitting(layouts, operators, others)
    reads = _fitting(layouts, (), (data,))
    pairs = [LayoutPair(read, result) for read in reads for result in results]
    if is_depthwise(convolution):
        pairs = [pair for pair in pairs if pair.data == pair.result]
    return GroupLayouts(place, tuple(pairs), (data,), others)


def _transpose(operator: Operator, place: int, layouts: Sequence[Layout]) -> GroupLayouts:
    """A transpose between NCHW and NHWC: nothing is left of it where the NHWC side is in NCHW."""
    (source,) = variables_read(operator.value)
    if move_of(operator):
        fitting = _fitting(layouts, (operator,), ())
        return GroupLayouts(place, tuple(LayoutPair(NHWC, each) for each in fitting), (), ())
    fitting = _fitting(layouts, (), (source,))
    return GroupLayouts(place, tuple(LayoutPair(each, NHWC) for each in fitting), (source,), ())


def _outside(readers: Iterable[Operator], group: Iterable[Operator]) -> tuple[RelaxVar, ...]:
    """The variables that some operators of a group read from outside of it."""
    inside = {operator.variable for operator in group}
    read = (variable for operator in readers for variable in variables_read(operator.value))
    return tuple(dict.fromkeys(variable for variable in read if variable not in inside))


def _fitting(layouts: Sequence[Layout], operators: Sequence[Operator], read: Sequence[RelaxVar]) -> list[Layout]:
    """The layouts that all of these tensors can have."""
    shapes = [operator.shape for operator in operators] + [tensor_type(variable)[0] for variable in read]
    return [layout for layout in layouts if all(map(layout.fits, shapes))]
