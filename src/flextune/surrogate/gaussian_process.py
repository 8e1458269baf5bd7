"""Gaussian-process regression: a mean and its uncertainty at every point, from few noisy observations.

Any finite number of the function's values are jointly normal, with covariance k(a, b) (the kernel, `covariance.py`):
close points have close values. Conditioning on observations y at x gives, at a new point p (Rasmussen and Williams,
Gaussian Processes for Machine Learning, 2006, algorithm 2.1), with K = k(x, x) + noise = L Lᵀ,

    mean(p) = k(p, x) K⁻¹ y                    = (L⁻¹ k(x, p))ᵀ (L⁻¹ y)
    variance(p) = k(p, p) − k(p, x) K⁻¹ k(x, p)  = k(p, p) − ‖L⁻¹ k(x, p)‖²

L⁻¹ is what is kept. The kernel's hyperparameters are those of largest posterior density (`likelihood.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.errors import UsageError
from flextune.surrogate.covariance import Array, Kernel
from flextune.surrogate.likelihood import Likelihood

_AT_ONCE = 4096
_LEAST_VARIANCE = 1e-10


@dataclass(frozen=True, slots=True)
class GaussianProcessOptions:
    """`steps` of the fit of the kernel, which looks at no more than `kernel_rows` rows."""

    steps: int = 10
    kernel_rows: int = 200


class GaussianProcess:
    """A function of the rows of an array, after some of its values were observed.

    Features should be scaled to about [0, 1]; the values are standardised here. `fit` costs the third power of the
    number of rows, `add` and each prediction the second. Fitting again starts from the kernel that was found last.

    >>> x = np.linspace(0, 1, 5)[:, None]
    >>> mean, std = GaussianProcess().fit(x, x[:, 0] ** 2).predict(np.array([[0.5], [3.0]]))
    >>> bool(abs(mean[0] - 0.25) < 0.05 and std[0] < std[1])
    True
    """

    def __init__(self, options: GaussianProcessOptions | None = None, kernel: Kernel | None = None) -> None:
        self._options = options or GaussianProcessOptions()
        self._kernel = kernel
        self._x: Array = np.empty((0, 0))
        self._y: Array = np.empty(0)
        self._inverse_factor: Array = np.empty((0, 0))
        self._offset, self._scale = 0.0, 1.0

    @property
    def kernel(self) -> Kernel:
        """The kernel found by the last fit, for standardised values."""
        if self._kernel is None:
            raise UsageError("the Gaussian process was not fitted yet")
        return self._kernel

    def fit(
        self, x: Array, y: Array, kernel_rows: Sequence[int] | npt.NDArray[np.intp] | None = None
    ) -> GaussianProcess:
        """Forget what was observed, observe y (n,) at x (n, d), and fit the kernel to the rows `kernel_rows`.

        By default these are all, or if they are too many, some of all sizes of y.
        """
        if x.ndim != 2 or y.shape != x.shape[:1] or not len(y):
            raise UsageError(f"expected values for each of at least one row of features, got {y.shape} and {x.shape}")
        self._offset, self._scale = float(y.mean()), float(y.std()) or 1.0
        self._x, self._y = x.astype(np.float64), (y - self._offset) / self._scale
        rows = spread(y, self._options.kernel_rows) if kernel_rows is None else np.asarray(kernel_rows)
        start = self._kernel if self._kernel is not None else Kernel.typical(x.shape[1])
        self._kernel = Likelihood.of(self._x[rows], self._y[rows]).best(start, self._options.steps)
        self._inverse_factor = np.linalg.inv(np.linalg.cholesky(self._kernel.among(self._x)))
        return self

    def add(self, x: Array, y: Array) -> GaussianProcess:
        """Observe more values, with the kernel and the scale as they are."""
        for row, value in zip(x.astype(np.float64), (y - self._offset) / self._scale, strict=True):
            self._inverse_factor = extended(self._inverse_factor, self.kernel, self._x, row)
            self._x, self._y = np.vstack([self._x, row]), np.append(self._y, value)
        return self

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (without the noise) at the rows of `x`, each of shape (len(x),)."""
        parts = [self._predicted(x[begin : begin + _AT_ONCE]) for begin in range(0, len(x), _AT_ONCE)]
        mean = np.concatenate([part[0] for part in parts]) if parts else np.empty(0)
        std = np.concatenate([part[1] for part in parts]) if parts else np.empty(0)
        return mean, std

    def _predicted(self, x: Array) -> tuple[Array, Array]:
        whitened = self._inverse_factor @ self.kernel.between(self._x, x.astype(np.float64))
        mean = (self._inverse_factor @ self._y) @ whitened
        variance = self.kernel.variance - np.einsum("ij,ij->j", whitened, whitened)
        std = np.sqrt(np.maximum(variance, _LEAST_VARIANCE))
        return mean * self._scale + self._offset, std * self._scale


def extended(inverse_factor: Array, kernel: Kernel, x: Array, row: Array) -> Array:
    """The inverse Cholesky factor after one more observation, at `row`, besides those at `x`."""
    whitened = inverse_factor @ kernel.between(x, row[None])[:, 0]
    left = np.sqrt(max(kernel.variance + kernel.noise - float(whitened @ whitened), _LEAST_VARIANCE))
    size = len(x)
    result = np.zeros((size + 1, size + 1))
    result[:size, :size] = inverse_factor
    result[size, :size] = -(whitened @ inverse_factor) / left
    result[size, size] = 1 / left
    return result


def spread(y: Array, count: int) -> npt.NDArray[np.intp]:
    """Positions of up to `count` values that are spread evenly over the sizes of `y`."""
    if len(y) <= count:
        return np.arange(len(y))
    return np.sort(np.argsort(y, kind="stable")[np.linspace(0, len(y) - 1, count).round().astype(np.intp)])
