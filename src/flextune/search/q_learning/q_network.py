"""Deep Q-learning (Mnih et al., Nature 2015) of several small networks at once, with a separate target network.

The networks have the same shape and are trained independently: their weights are stacked, so that a step of all of them
costs little more than a step of one. Weights come from the generator that is given; torch's own is never touched.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flextune.errors import UsageError
from flextune.search.q_learning.transition_memory import Batch
from flextune.torch_import import load_torch

DEVICES = ("auto", "cpu", "cuda")
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Learning:
    """How the networks learn; the target network follows every `sync_steps` steps.

    With `double` the network itself says which next action is best, and the target network what that is worth: the
    largest of many uncertain values is no longer overestimated (van Hasselt et al., AAAI 2016).
    """

    discount: float
    rate: float = 1e-3
    sync_steps: int = 25
    double: bool = False


class QNetworks:
    """`count` networks with layers of these `widths`: inputs, hidden layers (ReLU), one output per action.

    The step is Adam's on the Huber loss, written out here: the first step of torch's own optimisers takes seconds.
    """

    def __init__(
        self, count: int, widths: Sequence[int], learning: Learning, *, rng: np.random.Generator, device: str = "auto"
    ) -> None:
        self._torch = load_torch("a strategy with a Q-network")
        self._device = self._found(device)
        self._learning = learning
        with self._one_thread():
            self._weights = [self._tensor(array) for array in _initial_weights(count, widths, rng)]
        self._target = [weight.clone() for weight in self._weights]
        self._moments = [(self._torch.zeros_like(w), self._torch.zeros_like(w)) for w in self._weights]
        self._steps = 0

    @property
    def device(self) -> str:
        """Where the networks are, as torch calls it."""
        return str(self._device)

    def values(self, states: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Array (networks, rows, actions) for states (networks, rows, inputs)."""
        with self._one_thread(), self._torch.no_grad():
            found = self._forward(self._weights, self._tensor(states)).cpu().numpy()
        return np.asarray(found, dtype=np.float64)

    def train(self, batch: Batch) -> float:
        """One step of every network on its rows of the batch; the loss before it."""
        with self._one_thread():
            return self._step(batch)

    def start_at(self, values: Sequence[float]) -> None:
        """From now on, the actions' values are these, as far as the state does not say more: the outputs' biases."""
        with self._torch.no_grad():
            for layers in (self._weights, self._target):
                layers[-1][:] = self._tensor(np.array(values, dtype=np.float32))

    def inherit(self, action: int, parents: Sequence[int]) -> None:
        """The value of an action that replaces another one starts as the mean of its parents' values."""
        with self._torch.no_grad():
            for layers in (self._weights, self._target):
                for weight in layers[-2:]:
                    weight[..., action] = weight[..., list(parents)].mean(dim=-1)
            for moments in self._moments[-2:]:
                for moment in moments:
                    moment[..., action] = 0

    def _found(self, device: str) -> Any:
        cuda = self._torch.cuda.is_available()
        if device == "cuda" and not cuda:
            raise UsageError("device=cuda: torch finds no CUDA device here; take device=cpu or device=auto")
        return self._torch.device("cuda" if cuda and device != "cpu" else "cpu")

    def _tensor(self, array: npt.NDArray[Any]) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _forward(self, weights: Sequence[Any], states: Any) -> Any:
        last = len(weights) - 2
        for layer in range(0, len(weights), 2):
            states = self._torch.baddbmm(weights[layer + 1], states, weights[layer])
            states = self._torch.relu(states) if layer < last else states
        return states

    def _step(self, batch: Batch) -> float:
        torch = self._torch
        weights = [weight.requires_grad_(True) for weight in self._weights]
        chosen = torch.nn.functional.one_hot(self._tensor(batch.action), weights[-1].shape[-1])
        values = (self._forward(weights, self._tensor(batch.state)) * chosen).sum(dim=-1)
        losses = torch.nn.functional.smooth_l1_loss(values, self._targets(batch), reduction="none")
        weight = self._tensor(batch.weight)
        loss = (losses * weight).sum() / weight.sum().clamp(min=1)
        gradients = torch.autograd.grad(loss, weights)
        self._weights = [weight.detach() for weight in weights]
        self._move(gradients)
        self._steps += 1
        if self._steps % self._learning.sync_steps == 0:
            self._target = [weight.clone() for weight in self._weights]
        return float(loss.detach())

    def _targets(self, batch: Batch) -> Any:
        """The reward, and the discounted value of the best action allowed after it, where there is one."""
        torch, allowed = self._torch, self._tensor(batch.allowed)
        with torch.no_grad():
            states = self._tensor(batch.next_state)
            following = self._forward(self._target, states)
            judge = self._forward(self._weights, states) if self._learning.double else following
            action = judge.masked_fill(~allowed, -math.inf).argmax(dim=-1, keepdim=True)
            best = following.gather(-1, action).squeeze(-1)
            best = torch.where(allowed.any(dim=-1), best, torch.zeros_like(best))
            return self._tensor(batch.reward) + self._learning.discount * best

    def _move(self, gradients: Sequence[Any]) -> None:
        """Adam's step (Kingma and Ba, ICLR 2015)."""
        first_beta, second_beta = _BETAS
        first_scale = self._learning.rate / (1 - first_beta ** (self._steps + 1))
        second_scale = 1 / (1 - second_beta ** (self._steps + 1))
        for weight, gradient, (first, second) in zip(self._weights, gradients, self._moments, strict=True):
            first.mul_(first_beta).add_(gradient, alpha=1 - first_beta)
            second.mul_(second_beta).addcmul_(gradient, gradient, value=1 - second_beta)
            weight.addcdiv_(first, (second * second_scale).sqrt_().add_(_EPSILON), value=-first_scale)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """Networks this small are fastest on one thread; the caller's setting is put back."""
        threads = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            yield
        finally:
            self._torch.set_num_threads(threads)


def _initial_weights(count: int, widths: Sequence[int], rng: np.random.Generator) -> list[npt.NDArray[np.float32]]:
    """Weight and bias by layer, uniform as in torch's linear layers; the last a tenth of that: no action stands out."""
    found: list[npt.NDArray[np.float32]] = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        bound = (0.1 if layer == len(widths) - 2 else 1.0) / math.sqrt(inputs)
        shapes = (count, inputs, outputs), (count, 1, outputs)
        found += [rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes]
    return found
