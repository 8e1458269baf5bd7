"""The matrices of minimal filtering F(m, 3), their error bound, and the transform of weights, in NumPy.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4: a tile of m x m outputs is
A^T [(G g G^T) * (B^T d B)] A, with d a tile of (m+2) x (m+2) inputs and g the 3 x 3 weights. The matrices follow from
m+1 points and infinity (Cook and Toom). The points are zero and pairs +p, -p, so that the rows of a pair share their
even and odd parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from flextune.errors import UsageError

Matrix = npt.NDArray[np.float64]

TAPS = 3
UNIT_ROUNDOFF = 2.0**-24
"""Of float32, rounding to nearest."""


@dataclass(frozen=True)
class Transforms:
    """F(outputs, 3) on the points 0, +p and -p for each p of `pairs`, and infinity."""

    outputs: int
    pairs: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.outputs != 2 * len(self.pairs) or len(set(self.pairs)) != len(self.pairs) or min(self.pairs) <= 0:
            raise UsageError(f"F({self.outputs}, 3) needs {self.outputs // 2} distinct positive points: {self.pairs}")

    @property
    def inputs(self) -> int:
        """Edge of an input tile, which is also the number of points."""
        return self.outputs + TAPS - 1

    @cached_property
    def points(self) -> tuple[float, ...]:
        """The finite points, in the order of the rows."""
        return (0.0, *(sign * p for p in self.pairs for sign in (1.0, -1.0)))

    @cached_property
    def data(self) -> Matrix:
        """B^T, inputs x inputs: row i holds the coefficients of the product of (x - q) over the other points q."""
        rows = []
        for i in range(len(self.points)):
            others = [q for k, q in enumerate(self.points) if k != i]
            rows.append([*np.poly(others)[::-1], 0.0])
        return np.array([*rows, np.poly(self.points)[::-1]])

    @cached_property
    def weight(self) -> Matrix:
        """G, inputs x 3."""
        rows = []
        for i, p in enumerate(self.points):
            scale = math.prod(p - q for k, q in enumerate(self.points) if k != i)
            rows.append([p**k / scale for k in range(TAPS)])
        return np.array([*rows, [0.0] * (TAPS - 1) + [1.0]])

    @cached_property
    def result(self) -> Matrix:
        """A^T, outputs x inputs."""
        infinity = np.eye(self.outputs)[-1]
        return np.column_stack([np.vander(self.points, self.outputs, increasing=True).T, infinity])

    def transform_weights(self, weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """G g G^T for every pair of channels: [3, 3, ci, co] -> [inputs * inputs, ci, co], rounded once."""
        ci, co = weight.shape[2:]
        both = np.kron(self.weight, self.weight)
        result = np.empty((len(both), ci, co), np.float32)
        rows = max(1, (1 << 20) // co)
        for start in range(0, ci, rows):  # in float64, a megabyte or so at a time
            part = weight[:, :, start : start + rows].astype(np.float64)
            result[:, start : start + rows] = (both @ part.reshape(TAPS * TAPS, -1)).reshape(len(both), -1, co)
        return result

    def error_bound(self, channels: int) -> float:
        """K such that every output is within K * max|data| * sum|weights of its output channel| of the exact result.

        All steps in float32 after weights that were rounded once, in any order of summation (Higham, "Accuracy and
        Stability of Numerical Algorithms", section 3.1): each output is a sum of products that pass through at most
        `2 * inputs` roundings in the data transform, 2 for the weights and their product, `channels` for the sum,
        `2 * inputs` in the output transform. The bound multiplies their growth by the largest sum of absolute values.
        """
        roundings = 4 * self.inputs + 2 + channels
        growth = roundings * UNIT_ROUNDOFF / (1 - roundings * UNIT_ROUNDOFF)
        return growth * self.amplification

    @cached_property
    def gain(self) -> int:
        """How much larger the results' typical terms are than those of a plain sum, for independent data and weights.

        The weights are taken after their transform: this is how far to trust a comparison on random ones.
        """
        rows, back = (float(np.square(matrix).sum(axis=1).max()) for matrix in (self.data, self.result))
        return math.ceil(rows * back)

    @cached_property
    def amplification(self) -> float:
        """How much larger the sum of the absolute values of all terms is than max|data| times sum|weights|.

        Of |A^T| [(|G| g |G^T|) * (|B^T| d |B|)] |A|: the largest over outputs and weights of data that are all one.
        """
        reach = np.abs(self.data).sum(axis=1)
        line = np.abs(self.result) @ (reach[:, None] * np.abs(self.weight))
        return float(line.max() ** 2)


F2 = Transforms(2, (1.0,))
F4 = Transforms(4, (math.sqrt(0.5), math.sqrt(2.0)))
"""On these points the largest error is a quarter of that on the usual 1 and 2, at the same cost (an amplification of
157 against 860). Points that are each other's reciprocals balance the transforms; see Barabasz, Anderson, Soodhalter
and Gregg, "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", TOMS 2020."""
TRANSFORMS = {2: F2, 4: F4}
"""By the outputs per edge of a tile."""


@lru_cache(maxsize=1)
def _known() -> str:
    return ", ".join(str(outputs) for outputs in TRANSFORMS)


def transforms(outputs: int) -> Transforms:
    """Those with `outputs` x `outputs` results per tile."""
    if outputs not in TRANSFORMS:
        raise UsageError(f"Winograd convolution comes with {_known()} outputs per tile edge, not {outputs}")
    return TRANSFORMS[outputs]
