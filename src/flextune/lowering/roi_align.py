"""`RoiAlign` of maxima: the largest weighted neighbour of all samples of a bin, as ONNX defines it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tvm import te, tirx

from flextune.tvm_types import Expression, Tensor
from flextune.workload.extremes import LEAST, extreme

_LARGEST = te.comm_reducer(
    lambda left, right: extreme(tirx.Max, left, right), lambda dtype: tirx.const(LEAST, dtype), "largest"
)
_CORNERS = 4


def roi_align_max(
    tensors: Sequence[Tensor], attributes: Mapping[str, int | float | str], shape: tuple[int, ...], dtype: str
) -> Tensor:
    """[regions, channels, height, width] of an image, boxes (x0, y0, x1, y1) and the number of each box's image.

    Each bin has `ratio` samples along both axes, and each sample its four neighbours times their weights. A sample far
    outside of the image is 0.
    """
    image, boxes, numbers = tensors
    ratio = int(attributes["ratio"])
    scale, offset = (tirx.const(float(attributes[name]), dtype) for name in ("scale", "offset"))
    rows, columns, corners = (
        te.reduce_axis((0, size), name) for size, name in ((ratio, "iy"), (ratio, "ix"), (_CORNERS, "corner"))
    )

    def along(region: Expression, axis: int, place: Expression, sample: Expression) -> Expression:
        """Where a sample is along an axis (0 for y)."""
        start, end = (boxes[region, edge] * scale - offset for edge in (1 - axis, 3 - axis))
        extent = end - start
        if not attributes["half_pixel"]:
            extent = tirx.max(extent, tirx.const(1, dtype))
        size = extent / tirx.const(shape[2 + axis], dtype)
        within = (sample.astype(dtype) + tirx.const(0.5, dtype)) * size / tirx.const(ratio, dtype)
        return start + place.astype(dtype) * size + within

    def neighbour(place: Expression, size: int, upper: Expression) -> tuple[Expression, Expression, Expression]:
        """Index and weight of the lower or upper neighbour of a place, and whether that is near the image."""
        near = tirx.all(place >= tirx.const(-1, dtype), place <= tirx.const(size, dtype))
        inside = tirx.min(tirx.max(place, tirx.const(0, dtype)), tirx.const(size - 1, dtype))
        lower = tirx.Cast("int32", inside)
        rest = inside - lower.astype(dtype)
        index = tirx.min(lower + upper, tirx.const(size - 1, "int32"))
        return index, tirx.Select(upper > 0, rest, tirx.const(1, dtype) - rest), near

    def element(region: Expression, channel: Expression, row: Expression, column: Expression) -> Expression:
        y, x = along(region, 0, row, rows), along(region, 1, column, columns)
        height, width = (int(size) for size in image.shape[2:])
        at_row, weight_y, near_y = neighbour(y, height, corners // 2)
        at_column, weight_x, near_x = neighbour(x, width, corners % 2)
        number = tirx.min(tirx.max(tirx.Cast("int32", numbers[region]), 0), int(image.shape[0]) - 1)
        weighted = image[number, channel, at_row, at_column] * (weight_y * weight_x)
        value = tirx.Select(tirx.all(near_y, near_x), weighted, tirx.const(0, dtype))
        return _LARGEST(value, axis=[rows, columns, corners])

    return te.compute(shape, element, name="roi_align_max")
