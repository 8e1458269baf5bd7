"""Searching a measured space: the loop of a tuning run without a device, in simulated seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.cost.cost_model_registry import create_cost_model
from flextune.csp.assignment import Assignment
from flextune.errors import UsageError
from flextune.measure.replay_runner import ReplayDevice
from flextune.search.strategy_registry import create_strategy
from flextune.trial.tabular import TabularSpace

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What a search found, evaluation by evaluation: arrays of equal length. Times are in seconds."""

    space: TabularSpace
    """Where it searched."""
    rows: npt.NDArray[np.intp]
    """Positions among the space's trials."""
    measured_secs: Column
    """What the strategy was told; infinity for a failure."""
    clock_secs: Column
    """The simulated time at the end of the evaluation."""
    incumbent_secs: Column
    """The true (mean) time of the configuration with the best measured time so far; infinity before there is one."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def evaluations(self) -> int:
        """How many configurations were tried, failures included."""
        return len(self.rows)

    @property
    def simulated_secs(self) -> float:
        """What the run would have taken on the device."""
        return float(self.clock_secs[-1]) if len(self) else 0.0

    @property
    def best_secs(self) -> float:
        """The true time of the final incumbent; infinity where nothing ran."""
        return float(self.incumbent_secs[-1]) if len(self) else math.inf

    @property
    def best_row(self) -> int | None:
        """The position of the final incumbent among the space's trials."""
        position = int(np.argmin(self.measured_secs)) if len(self) else 0
        return int(self.rows[position]) if len(self) and math.isfinite(self.measured_secs[position]) else None

    @property
    def best(self) -> Assignment | None:
        """The final incumbent; None where nothing ran."""
        return None if self.best_row is None else self.space.trials[self.best_row].assignment

    @property
    def failed(self) -> int:
        return int(np.isinf(self.measured_secs).sum())

    def fraction_after(self, evaluations: int) -> float:
        """The space's optimum divided by the incumbent's time after so many evaluations; 0 before the first success."""
        reached = min(evaluations, len(self))
        incumbent_secs = float(self.incumbent_secs[reached - 1]) if reached else math.inf
        return self.space.optimum_secs / incumbent_secs if math.isfinite(incumbent_secs) else 0.0

    def fraction_at(self, secs: float) -> float:
        """The same after so many simulated seconds, counting the evaluations that have ended by then."""
        return self.fraction_after(int(np.searchsorted(self.clock_secs, secs, side="right")))


def replay_run(
    space: TabularSpace,
    strategy: str,
    *,
    trials: int | None = None,
    secs: float | None = None,
    seed: int = 0,
    options: Mapping[str, str] | None = None,
    cost_model: str = "none",
    batch: int = 1,
    draws: int = 0,
) -> Trajectory:
    """Searches the space within `trials` evaluations and `secs` simulated seconds (at least one of them is given).

    The strategy sees measured times only, `batch` assignments at a time. An evaluation that would end after `secs` is
    not made: the run ends there. With `draws` every time is the mean of so many recorded repeats. The same seed gives
    the same run.
    """
    _check(trials, secs, seed, batch)
    streams = np.random.SeedSequence(seed).spawn(2)
    device = ReplayDevice(space, draws=draws, rng=np.random.default_rng(streams[1]))
    searcher = create_strategy(
        strategy,
        space.solutions,
        rng=np.random.default_rng(streams[0]),
        cost_model=create_cost_model(cost_model, space.solutions.names, seed),
        options=options or {},
        trials=trials,
    )
    most = min(len(space), trials if trials is not None else len(space))
    rows: list[int] = []
    measured: list[float] = []
    clock: list[float] = []
    while len(rows) < most and (asked := searcher.ask(min(batch, most - len(rows)))):
        results = []
        for assignment in asked:
            row = space.row_of[assignment]
            if secs is not None and device.clock_secs + space.charged_secs[row] > secs:
                return _trajectory(space, rows, measured, clock)
            (result,) = device.measure([assignment])
            results.append(result)
            rows.append(row)
            measured.append(result.secs)
            clock.append(device.clock_secs)
        searcher.tell(results)
    return _trajectory(space, rows, measured, clock)


def _check(trials: int | None, secs: float | None, seed: int, batch: int) -> None:
    if trials is None and secs is None:
        raise UsageError("a replay needs a number of trials or of seconds")
    for name, value in (("trials", trials), ("seconds", secs), ("batch", batch)):
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{name} must be positive, got {value}")
    if seed < 0:
        raise UsageError(f"the seed must not be negative, got {seed}")


def _trajectory(space: TabularSpace, rows: list[int], measured: list[float], clock: list[float]) -> Trajectory:
    positions, secs = np.array(rows, dtype=np.intp), np.array(measured, dtype=np.float64)
    incumbent = np.full(len(secs), math.inf)
    leader = -1
    for index in range(len(secs)):
        if math.isfinite(secs[index]) and (leader < 0 or secs[index] < secs[leader]):
            leader = index
        incumbent[index] = space.secs[positions[leader]] if leader >= 0 else math.inf
    return Trajectory(space, positions, secs, np.array(clock, dtype=np.float64), incumbent)
