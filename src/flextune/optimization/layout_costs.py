"""What the groups of a model cost in each layout: predicted, and as measured in builds of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import tvm

from flextune.lowering.layout import NCHW, NHWC, Layout
from flextune.lowering.operator_graph import Operator
from flextune.plan.fusion.plan import FusionPlan
from flextune.plan.layouts.image_operators import CONVOLUTION, WINDOWS, is_depthwise, move_of
from flextune.plan.layouts.layout_assignment import LayoutPair
from flextune.platforms.estimator import TargetEstimator
from flextune.workload.work import Work
from flextune.workload.workload import Workload

_FEW_CHANNELS = 8
_SMALL_IMAGE = 100
_WIDE_STEM_IN_NCHW, _NARROW_STEM_IN_NCHW = 0.9, 1.1
_WIDE_STEM = 25
_BLOCKED_WINDOW = 0.9
_SCATTERED_RESULT = 1.3
_SMALL_BLOCKED_RESULT = 1.3
_WINDOW_ALONG_ROWS = 2.5
_UNUSUAL = 1.001


@dataclass(frozen=True, slots=True, eq=False)
class LayoutCosts:
    """Seconds of groups by place and layouts."""

    plan: FusionPlan
    """The groups that choose."""
    nhwc_secs: Sequence[float]
    """Predictions in NHWC of the groups, by place."""
    estimator: TargetEstimator
    """Says what conversions between layouts take."""
    lanes: int
    """The size of blocks that are one vector; 0 without layouts in blocks."""
    measured: Mapping[tuple[int, LayoutPair], float] = field(default_factory=dict)
    """What was measured replaces what is predicted."""
    conversion_ratio: float = 1.0
    """What conversions take of what is predicted for them."""

    @classmethod
    def predicted(
        cls,
        plan: FusionPlan,
        workloads: Sequence[Sequence[Workload]],
        estimator: TargetEstimator,
        layouts: Sequence[Layout],
    ) -> LayoutCosts:
        """From the workloads of every group in NHWC."""
        secs = [sum(map(estimator.workload_secs, group)) for group in workloads]
        return cls(plan, secs, estimator, min((layout.block for layout in layouts if layout.block), default=0))

    def group(self, place: int, pair: LayoutPair) -> float:
        """Seconds of the group at this place in these layouts."""
        known = self.measured.get((place, pair))
        if known is not None:
            return known
        operators = [self.plan.graph.operators[index] for index in self.plan.groups[place].operators]
        return self.nhwc_secs[place] * _ratio(operators, pair, self.lanes)

    def conversion(self, nbytes: int) -> float:
        """Seconds to read a tensor and write it in another layout, by a kernel of its own."""
        return self.conversion_ratio * self.estimator.secs(Work(bytes=2 * nbytes))

    def with_measured(self, measured: Mapping[tuple[int, LayoutPair], float]) -> LayoutCosts:
        """With seconds from builds; the slowest transpose among them says what conversions take at least."""
        ratio = max((secs / self._transpose(place) for (place, _), secs in measured.items()), default=1.0)
        return replace(self, measured=measured, conversion_ratio=max(ratio, 1.0))

    def _transpose(self, place: int) -> float:
        """What a conversion of the tensor is predicted to take that a group transposes; infinity for other groups."""
        first = self.plan.graph.operators[self.plan.groups[place].operators[0]]
        if move_of(first) is None:
            return math.inf
        return self.conversion(first.elements * tvm.DataType(first.dtype).bits // 8)


def _ratio(operators: Sequence[Operator], pair: LayoutPair, lanes: int) -> float:
    """The predicted time of a group over its time in NHWC.

    They say what deserves a measurement, no more. Measured with default schedules on one core (AVX-512): stems that
    read NCHW 0.85 to 0.9 (windows of 7 x 7; of 3 x 3 0.9 to 1.5), windows of one channel in blocks 0.65 to 0.96 and in
    NCHW 1.2 to 4.8, convolutions that write blocks 0.95 to 1.06 (for 7 x 7 pixels and blocks of one vector 1.3), those
    that write NCHW 1.0 to 1.9.
    """
    if pair.is_default:
        return 1.0
    if len(operators) == 1 and move_of(operators[0]) is not None:
        return 0.0 if NCHW in (pair.data, pair.result) else 1.0
    shape = operators[-1].shape
    rare = _UNUSUAL if pair.result.block > lanes or pair.data.block > lanes else 1.0
    convolution = next((each for each in operators if each.name == CONVOLUTION), None)
    if convolution is not None and not is_depthwise(convolution):
        return rare * _convolution_ratio(convolution, pair, lanes)
    has_window = convolution is not None or any(each.name in WINDOWS for each in operators)
    if not has_window or pair.result.same_memory(NHWC, shape):
        return rare * _UNUSUAL
    return rare * (_BLOCKED_WINDOW if pair.result.block else _WINDOW_ALONG_ROWS)


def _convolution_ratio(convolution: Operator, pair: LayoutPair, lanes: int) -> float:
    height, width, channels, _ = (int(size) for size in convolution.value.args[1].ty.shape)
    ratio = _UNUSUAL
    if pair.data == NCHW and channels < _FEW_CHANNELS:
        ratio = _WIDE_STEM_IN_NCHW if height * width >= _WIDE_STEM else _NARROW_STEM_IN_NCHW
    if pair.result == NCHW:
        return ratio * _SCATTERED_RESULT
    small = math.prod(convolution.shape[1:3]) < _SMALL_IMAGE
    return ratio * (_SMALL_BLOCKED_RESULT if pair.result.block == lanes and small else _UNUSUAL)
