"""A few small multi-layer perceptrons that are trained and asked together, through torch.

They have the same shape and learn from different bootstrap samples; their weights are stacked, so that a step of all of
them costs little more than a step of one. Weights and samples come from the generator that is given; torch's own is
never touched. The step is Adam's, written out: the first step of torch's own optimisers takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from flextune.torch_import import load_torch

Single = npt.NDArray[np.float32]

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Training:
    """`steps` of Adam with `rate`, which falls to 0, and weights drawn to 0 by `decay` of them a unit of rate."""

    count: int = 4
    """Networks."""
    width: int = 64
    """Units of each hidden layer."""
    steps: int = 200
    rate: float = 0.01
    decay: float = 2.0
    batch: int = 256
    """Rows of a step."""


class Networks:
    """Functions from rows of features to one number each, after training."""

    def __init__(self, features: int, training: Training, rng: np.random.Generator) -> None:
        self._torch = load_torch("the cost model 'mlp'")
        self._training = training
        self._rng = rng
        widths = (features, training.width, training.width, 1)
        self._weights = [self._torch.from_numpy(each) for each in _initial_weights(training.count, widths, rng)]

    def train(self, rows: Single, loss: Callable[[Any, Any], Any]) -> None:
        """Move the weights so that `loss(outputs, positions)` falls.

        `positions` are those of a batch of rows, drawn for each network by itself, shape (networks, batch), and
        `outputs` what the networks say about them, of the same shape; the loss is a torch scalar.
        """
        with self._one_thread():
            inputs = self._torch.from_numpy(rows)
            moments = [(self._torch.zeros_like(w), self._torch.zeros_like(w)) for w in self._weights]
            samples = self._samples(len(rows))
            for step in range(1, self._training.steps + 1):
                self._step(inputs, next(samples), loss, moments, step)

    def outputs(self, rows: Single) -> npt.NDArray[np.float64]:
        """The mean over the networks, one per row."""
        with self._one_thread(), self._torch.no_grad():
            inputs = self._torch.from_numpy(rows).expand(self._training.count, *rows.shape)
            found = self._forward(self._weights, inputs).mean(dim=0).numpy()
        return np.asarray(found, dtype=np.float64)

    def sensitivity(self, rows: Single) -> npt.NDArray[np.float64]:
        """Per feature, the mean square of the derivative of the outputs at these rows."""
        with self._one_thread():
            inputs = self._torch.from_numpy(rows).expand(self._training.count, *rows.shape).clone().requires_grad_(True)
            (slopes,) = self._torch.autograd.grad(self._forward(self._weights, inputs).sum(), (inputs,))
            found = (slopes**2).mean(dim=(0, 1)).numpy()
        return np.asarray(found, dtype=np.float64)

    def _forward(self, weights: Sequence[Any], values: Any) -> Any:
        last = len(weights) - 2
        for layer in range(0, len(weights), 2):
            values = self._torch.baddbmm(weights[layer + 1], values, weights[layer])
            values = self._torch.relu(values) if layer < last else values
        return values.squeeze(-1)

    def _samples(self, rows: int) -> Iterator[npt.NDArray[np.int64]]:
        """Batches of positions out of one bootstrap sample per network."""
        count, size = self._training.count, min(rows, self._training.batch)
        bootstrap = self._rng.integers(rows, size=(count, rows))
        while True:
            yield bootstrap if size == rows else bootstrap[:, self._rng.integers(rows, size=size)]

    def _step(
        self,
        inputs: Any,
        positions: npt.NDArray[np.int64],
        loss: Callable[[Any, Any], Any],
        moments: list[tuple[Any, Any]],
        step: int,
    ) -> None:
        torch, training = self._torch, self._training
        at = torch.from_numpy(positions)
        weights = [weight.requires_grad_(True) for weight in self._weights]
        gradients = torch.autograd.grad(loss(self._forward(weights, inputs[at]), at), weights)
        self._weights = [weight.detach() for weight in weights]
        rate = training.rate * (1 - (step - 1) / training.steps)
        with torch.no_grad():
            for weight, gradient, (mean, square) in zip(self._weights, gradients, moments, strict=True):
                mean.mul_(_BETAS[0]).add_(gradient, alpha=1 - _BETAS[0])
                square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
                unbiased = mean / (1 - _BETAS[0] ** step)
                size = (square / (1 - _BETAS[1] ** step)).sqrt_().add_(_EPSILON)
                weight.mul_(1 - rate * training.decay).addcdiv_(unbiased, size, value=-rate)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """More threads would wait for cores that measure, and add up in another order."""
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)


def _initial_weights(count: int, widths: Sequence[int], rng: np.random.Generator) -> Iterator[Single]:
    """He et al. 2015 for layers of ReLU; the last layer starts near 0."""
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        scale = np.sqrt(2 / max(1, inputs)) * (0.1 if index == len(widths) - 2 else 1.0)
        yield (rng.standard_normal((count, inputs, outputs)) * scale).astype(np.float32)
        yield np.zeros((count, 1, outputs), dtype=np.float32)
