"""FlexTensor's Q-method (Zheng et al., ASPLOS 2020, section 5.1): a network per subspace chooses the direction.

From a start point p each subspace goes one step, in the direction that its Q-network values most, or with probability
epsilon in a random one; epsilon decays from 0.8 to 0.1. The reward of a step to e is (E_e - E_p) / E_p, E being the
performance: -1 for a failure. Networks have 4 layers of width 64, learn from a replay memory, and their target network
is a copy that follows at intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.encoding import Encoding
from flextune.search.flextensor.directions import Direction
from flextune.search.flextensor.flextensor_p import FlexTensorBase, FlexTensorOptions, Surroundings
from flextune.search.q_learning.q_network import DEVICES, Learning, QNetworks
from flextune.search.q_learning.transition_memory import Batch, Replay, Row, Transition
from flextune.search.strategy_options import option
from flextune.trial.measurement import Measurement

_LAYERS = 4
_WIDTH = 64
_LARGEST_REWARD = 10.0
"""A start point that was this many times slower is no better than any other slow one."""


@dataclass(frozen=True, slots=True)
class FlexTensorQOptions(FlexTensorOptions):
    """`epsilon` falls by exp(-`decay`) a round, to `least_epsilon`; `replay` and `batch` count per subspace."""

    epsilon: float = option(0.8, low=0, high=1)
    least_epsilon: float = option(0.1, low=0, high=1)
    decay: float = option(0.01, low=0, high=10)
    discount: float = option(0.9, low=0, high=1)
    """Of the reward that follows a step later."""
    replay: int = option(1000, low=1, high=1_000_000)
    batch: int = option(32, low=1, high=4096)
    steps: int = option(4, low=1, high=1000)
    """Of training, each round."""
    device: str = option("auto", choices=DEVICES)
    """Where the networks compute."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that has been asked for: from where, how fast that was, and in which direction."""

    state: Row
    start_secs: float
    direction: Direction


class FlexTensorQStrategy(FlexTensorBase[FlexTensorQOptions]):
    """Steps in the directions that a Q-network per subspace has learned to choose, from annealed start points."""

    source = "FlexTensor, ASPLOS 2020, section 5.1, Q-method"
    extra = "rl"
    options_type = FlexTensorQOptions

    def prepare(self) -> None:
        subspaces = range(len(self.directions.subspaces))
        self._counts = np.array([self.directions.count(subspace) for subspace in subspaces])
        self._encoding = Encoding(self.solutions)
        self._replays = [Replay(self.options.replay) for _ in subspaces]
        self._steps: dict[Assignment, Step] = {}
        self._rounds = 0
        self._inputs = self._encoding.genes + 1
        widths = (self._inputs, *[_WIDTH] * (_LAYERS - 1), int(self._counts.max()))
        learning = Learning(self.options.discount)
        self.networks = QNetworks(len(subspaces), widths, learning, rng=self.rng, device=self.options.device)

    @property
    def epsilon(self) -> float:
        """The part of the directions that is chosen at random in the coming round."""
        decayed = self.options.epsilon * math.exp(-self.options.decay * self._rounds)
        return max(decayed, min(self.options.epsilon, self.options.least_epsilon))

    def tell(self, measurements: Sequence[Measurement]) -> None:
        super().tell(measurements)
        for measurement in measurements:
            step = self._steps.pop(measurement.assignment, None)
            if step is not None:
                self._learn_from(step, measurement)

    def chosen(self, around: Surroundings) -> list[Direction]:
        self._train()
        state = self._state(around.start)
        values = self.networks.values(np.tile(state, (len(self._counts), 1, 1)))[:, 0]
        by_subspace: dict[int, list[Direction]] = {}
        for direction in around.nearest:
            by_subspace.setdefault(direction.subspace, []).append(direction)
        chosen = [self._choice(directions, values[subspace]) for subspace, directions in by_subspace.items()]
        self._remember(chosen, around, state)
        self._rounds += 1
        return chosen

    def _choice(self, directions: Sequence[Direction], values: npt.NDArray[np.float64]) -> Direction:
        if self.rng.random() < self.epsilon:
            return directions[int(self.rng.integers(len(directions)))]
        return max(directions, key=lambda direction: float(values[direction.number]))

    def _remember(self, chosen: Sequence[Direction], around: Surroundings, state: Row) -> None:
        for direction in chosen:
            reached = around.neighbours[around.nearest[direction]]
            self._steps[reached] = Step(state, around.start_secs, direction)

    def _learn_from(self, step: Step, measurement: Measurement) -> None:
        reward = step.start_secs / measurement.secs - 1
        self._replays[step.direction.subspace].add(
            Transition(
                step.state,
                step.direction.number,
                min(reward, _LARGEST_REWARD),
                self._state(measurement.assignment),
                np.arange(self._counts.max()) < self._counts[step.direction.subspace],
            )
        )

    def _train(self) -> None:
        if not any(map(len, self._replays)):
            return
        rows, actions = self.options.batch, int(self._counts.max())
        for _ in range(self.options.steps):
            drawn = [replay.sample(self.rng, rows) for replay in self._replays]
            self.networks.train(Batch.stacked([Batch.of(each, rows, self._inputs, actions) for each in drawn]))

    def _state(self, assignment: Assignment) -> Row:
        """Where among its values each variable is, from 0 to 1; and a 1, so that there is an input on any space."""
        positions = self._encoding.positions(Assignments.of([assignment], self._encoding.names))
        return np.append(self._encoding.scaled(positions)[0], 1).astype(np.float32)
