"""A 3 x 3 convolution by Winograd's algorithm as an operator of its own, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flextune.plan.algorithms.winograd_transforms import TAPS, TRANSFORMS, UNIT_ROUNDOFF, transforms
from flextune.tvm_types import Tensor
from flextune.workload.element_type import FLOAT32
from flextune.workload.operator import FLOAT_RELATIVE, Operator
from flextune.workload.operator_parameters import Choice, Params, PerDimension, Size
from flextune.workload.operators.conv import convolve_image
from flextune.workload.tensor import TensorSpec, Tolerance
from flextune.workload.windows import Window, check_window, pad_image

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder


class WinogradConvolution2d(Operator):
    """A convolution of [n, h, w, ci] with a kernel of 3 x 3 and stride 1, by tiles of `tile` x `tile` results.

    The weight is transformed beforehand, as it is in a model: [(tile + 2)^2, ci, co], G g G^T of each kernel g, and
    known before the program runs. Operations are counted as those of the plain convolution.
    """

    name = "conv2d_winograd"
    parameters = (
        Size("n", 1),
        *(Size(name) for name in ("h", "w", "ci", "co")),
        PerDimension("pad", 0, dimensions=2, minimum=0, ends=True),
        Choice("tile", "4", choices=tuple(str(outputs) for outputs in TRANSFORMS)),
        Choice("dtype", "float32", choices=("float32",), printed=True),
    )

    def _window(self, params: Params) -> Window:
        before, after = params.pads(2)
        return Window(params.integers("h", "w"), (TAPS, TAPS), (1, 1), (1, 1), before, after)

    def check(self, params: Params) -> None:
        check_window(params, self._window(params))

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        n, h, w, ci, co = params.integers("n", "h", "w", "ci", "co")
        points = transforms(params.integer("tile")).inputs ** 2
        return TensorSpec("data", (n, h, w, ci), FLOAT32), TensorSpec("weight", (points, ci, co), FLOAT32, True)

    def output(self, params: Params) -> TensorSpec:
        n, co = params.integers("n", "co")
        return TensorSpec("out", (n, *self._window(params).result, co), FLOAT32)

    def reduction_length(self, params: Params) -> int:
        return TAPS * TAPS * params.integer("ci")

    def flops(self, params: Params) -> int:
        return 2 * self.output(params).elements * self.reduction_length(params)

    def tolerance(self, params: Params) -> Tolerance:
        """That of a sum of as many terms, times what the transforms magnify them by."""
        gain = transforms(params.integer("tile")).gain
        return Tolerance(FLOAT_RELATIVE, 4 * UNIT_ROUNDOFF * max(16, params.integer("ci")) * gain)

    def random_inputs(self, params: Params, rng: np.random.Generator) -> list[np.ndarray]:
        """The weight is the transform of a kernel that is drawn: no other one has a convolution."""
        data, weight = self.inputs(params)
        kernel = FLOAT32.random((TAPS, TAPS, *weight.shape[1:]), rng)
        return [FLOAT32.random(data.shape, rng), transforms(params.integer("tile")).transform_weights(kernel)]

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        from flextune.plan.algorithms.winograd_program import winograd_tensor  # here, because it loads TVM

        del build
        (top, left), (bottom, right) = params.pads(2)
        result: Tensor = winograd_tensor(tensors[0], tensors[1], (top, left, bottom, right), params.integer("tile"))
        return result

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The plain convolution with the kernel whose transform the weight is, found by least squares."""
        window, (_, ci, co) = self._window(params), arrays[1].shape
        back = np.linalg.pinv(transforms(params.integer("tile")).weight)
        kernel = (np.kron(back, back) @ arrays[1].reshape(len(arrays[1]), -1).astype(np.float64)).astype(np.float32)
        out = np.empty(self.output(params).shape, dtype=np.float32)
        for image, result in zip(arrays[0], out, strict=True):
            convolve_image(pad_image(image, window), kernel.reshape(TAPS, TAPS, ci, co), window, 1, result, exact=False)
        return out


CONV2D_WINOGRAD = WinogradConvolution2d()
