"""A minimiser for smooth functions of some dozens of variables: BFGS (Nocedal and Wright, 2006, section 6.1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Function = Callable[[Vector], tuple[float, Vector]]

_LONGEST_STEP = 1.5
_DESCENT = 1e-4
_SHRINK = 0.4
_TRIES = 6
_LEAST_GAIN = 1e-3


def minimised(function: Function, start: Vector, steps: int) -> Vector:
    """Where a function (of value and gradient) is lowest, after at most `steps` steps; never worse than `start`.

    The function may be infinite, but not at the start.
    """
    point = start
    value, gradient = function(point)
    inverse_hessian = np.eye(len(start)) / max(1.0, float(np.linalg.norm(gradient)))
    for _ in range(steps):
        step = _capped(-inverse_hessian @ gradient)
        found = _line_search(function, point, value, step, float(gradient @ step))
        if found is None:
            break
        step, next_value, next_gradient = found
        inverse_hessian = _updated(inverse_hessian, step, next_gradient - gradient)
        gain = value - next_value
        point, value, gradient = point + step, next_value, next_gradient
        if gain < _LEAST_GAIN:
            break
    return point


def _capped(step: Vector) -> Vector:
    longest = float(np.abs(step).max(initial=0.0))
    return step * (_LONGEST_STEP / longest) if longest > _LONGEST_STEP else step


def _line_search(
    function: Function, point: Vector, value: float, step: Vector, slope: float
) -> tuple[Vector, float, Vector] | None:
    """The step, shortened until it descends enough, with value and gradient there."""
    if slope >= 0:
        return None
    for power in range(_TRIES):
        scale = _SHRINK**power
        next_value, next_gradient = function(point + scale * step)
        if next_value <= value + _DESCENT * scale * slope:
            return scale * step, next_value, next_gradient
    return None


def _updated(inverse_hessian: Vector, step: Vector, change: Vector) -> Vector:
    curvature = float(step @ change)
    if curvature <= 1e-10:
        return inverse_hessian
    projection = np.eye(len(step)) - np.outer(step, change) / curvature
    updated: Vector = projection @ inverse_hessian @ projection.T + np.outer(step, step) / curvature
    return updated
