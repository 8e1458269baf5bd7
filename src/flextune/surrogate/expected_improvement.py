"""Expected improvement (Jones, Schonlau and Welch, 1998): what a measurement should gain over the best so far."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Real = TypeVar("Real", np.float32, np.float64)

_TAIL: tuple[float, ...] = (
    *(-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806),
    *(0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277),
)


def upper_tail(z: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """P(Z > z) of a standard normal Z for z >= 0, with a relative error below 2e-7 (Numerical Recipes, erfcc)."""
    x = z * (1 / math.sqrt(2))
    t = 1 / (1 + 0.5 * x)
    exponent = np.full_like(t, _TAIL[-1])
    for coefficient in reversed(_TAIL[:-1]):
        exponent = exponent * t + coefficient
    tail: npt.NDArray[Real] = (0.5 * t * np.exp(exponent - x * x)).astype(z.dtype)
    return tail


def expected_improvement(mean: npt.NDArray[Real], std: npt.NDArray[Real], best: float) -> npt.NDArray[Real]:
    """E[max(0, best − Y)] of normally distributed Y, lower being better; `std` is positive."""
    z = (best - mean) / std
    size = np.abs(z)
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    below = np.maximum(density - size * upper_tail(size), 0)
    improvement: npt.NDArray[Real] = (std * np.where(z > 0, z + below, below)).astype(mean.dtype)
    return improvement
