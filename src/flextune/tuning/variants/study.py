"""Schedules of one program measured at many sizes, in a worker process that survives none but is replaced."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import tvm

from flextune.errors import UsageError
from flextune.measure.ending import Ending
from flextune.measure.outcome import cause_of_end
from flextune.measure.variant_service import SERVICE
from flextune.measure.worker_process import Worker
from flextune.target.target import Target
from flextune.trial.measurement import Status
from flextune.trial.variant import Variant
from flextune.tuning.variants.points import Places
from flextune.tuning.variants.selection import MOST_VARIANTS
from flextune.tuning.variants.tile_model import measured_winners, predicted, work_counts
from flextune.tvm_types import PrimFunc


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """How schedules are measured and chosen."""

    repeats: int = 3
    """Times of each schedule at each size, of which the median counts, or the smallest one (`smallest`)."""
    timeout_secs: float = 30.0
    """For building a kernel, and for all its times at one size."""
    per_variant: int = 5
    """Measurements of a schedule, on average; where the grid has more points, a model says which are worth it."""
    loss: float = 0.05
    """What the chosen schedules may lose on the best one at any size."""
    most_variants: int = MOST_VARIANTS
    smallest: bool = False
    """Whether the smallest time counts: what else a machine does only adds to it."""

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.per_variant < 1 or self.most_variants < 1:
            raise UsageError("repeats, measurements and variants are at least 1")
        if not self.timeout_secs > 0 or not 0 <= self.loss < math.inf:
            raise UsageError(f"expected a timeout > 0 and a loss >= 0, got {self.timeout_secs} s and {self.loss}")


TUNING = StudyOptions(repeats=5, smallest=True)
"""For groups of models, and workloads with ranges of sizes."""


@dataclass(slots=True)
class VariantTrial:
    """What is known of a schedule: its times, seconds by sizes, or why it has none."""

    variant: Variant
    status: Status = Status.OK
    error: str = ""
    run_secs: dict[tuple[int, ...], tuple[float, ...]] = field(default_factory=dict)


class Study:
    """Measures schedules of a program with symbolic sizes; use it in a `with` statement."""

    def __init__(
        self,
        function: PrimFunc,
        constants: tuple[int, ...],
        target: Target,
        grid: Places,
        options: StudyOptions,
        deadline: float = math.inf,
    ) -> None:
        """No measurement but the first ones of the first schedule begins after the `deadline` (`perf_counter`)."""
        self.function, self.constants, self.target, self.grid = function, constants, target, grid
        self.options = options
        self.trials: list[VariantTrial] = []
        self._ends = ExitStack()
        self._worker = Worker.of_service(SERVICE, cores=target.cores, preload=target.kind)
        self._ends.callback(self._worker.close)
        self._generation = -1
        self._built: set[int] = set()
        self._deadline = deadline
        self._static = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def add(self, variants: Sequence[Variant]) -> int:
        """Take note of schedules without measuring any; returns the number of the first of them."""
        self.trials += [VariantTrial(each) for each in variants]
        return len(self.trials) - len(variants)

    def measure(self, variants: Sequence[Variant]) -> np.ndarray:
        """[variants, points]: seconds of each, measured where that decides anything, else as the tile model has it."""
        first = self.add(variants)
        names = self.grid.names
        works = [each.work(self.function, self.target.cores) for each in variants]
        counts = work_counts(works, names, self.grid.points)
        ends = sorted({0, len(self.grid.points) - 1})
        most = min(self.options.per_variant, len(self.grid.points)) * len(variants)
        secs = measured_winners(
            counts, self.grid.weights, lambda variant, point: self._secs(first + variant, point), ends, most
        )
        return predicted(secs, counts)

    @property
    def is_late(self) -> bool:
        """Whether the deadline is over."""
        return time.perf_counter() > self._deadline

    def typical(self, run_secs: Sequence[float]) -> float:
        """The one of several times that counts."""
        return min(run_secs) if self.options.smallest else statistics.median(run_secs)

    def secs_at(self, number: int, sizes: Sequence[int], *, again: bool = False) -> float:
        """Seconds of a schedule by its number at any sizes; infinity where it cannot run.

        What is known is not measured `again` unless that is asked for.
        """
        trial = self.trials[number]
        point = tuple(sizes)
        if trial.status is Status.OK and (again or point not in trial.run_secs):
            self._time(number, point)
        times = trial.run_secs.get(point)
        return math.inf if trial.status is not Status.OK or times is None else self.typical(times)

    def static_secs(self, variant: Variant, sizes: Sequence[int]) -> float:
        """Seconds of a schedule that is made for these sizes alone; infinity where it cannot run."""
        self._tell_program()
        self._static += 1
        named = {"id": f"static {self._static}", "sizes": dict(zip(self.grid.names, sizes, strict=True))}
        for request, building in (
            ({"action": "build", "target": str(self.target), **_told(variant)}, True),
            ({"action": "time", "repeats": self.options.repeats}, False),
        ):
            reply = self._asked({**request, **named}, building=building)
            if reply["status"] != Status.OK:
                return math.inf
        return self.typical(reply["run_secs"])

    def _secs(self, number: int, point: int) -> float:
        """NaN where it is too late to measure it."""
        return math.nan if self.is_late and number > 0 else self.secs_at(number, self.grid.points[point])

    def _time(self, number: int, point: tuple[int, ...]) -> None:
        trial = self.trials[number]
        names = self.grid.names
        request = {"action": "time", "id": number, "sizes": dict(zip(names, point, strict=True))}
        for _ in range(2):  # a kernel that the worker has dropped is built again
            if not self._is_built(number):
                return
            reply = self._asked({**request, "repeats": self.options.repeats}, building=False)
            if not reply.get("lost"):
                break
            self._built.discard(number)
        trial.status, trial.error = Status(reply["status"]), str(reply["error"])
        if trial.status is Status.OK:
            trial.run_secs[point] = tuple(reply["run_secs"])

    def _is_built(self, number: int) -> bool:
        self._tell_program()
        if number in self._built:
            return True
        trial = self.trials[number]
        request = {"action": "build", "id": number, "target": str(self.target), **_told(trial.variant)}
        reply = self._asked(request, building=True)
        trial.status, trial.error = Status(reply["status"]), str(reply["error"])
        if trial.status is Status.OK:
            self._built.add(number)
        return trial.status is Status.OK

    def _tell_program(self) -> None:
        """A worker that is new knows nothing."""
        self._worker.ready()
        if self._generation == self._worker.generation:
            return
        self._built.clear()
        text = str(tvm.ir.save_json(self.function))
        reply = self._asked({"action": "program", "function": text, "constants": list(self.constants)}, building=True)
        if reply["status"] != Status.OK:
            raise UsageError(f"the program cannot be measured: {reply['error']}")
        self._generation = self._worker.generation

    def _asked(self, request: Mapping[str, Any], *, building: bool) -> Mapping[str, Any]:
        outcome = self._worker.call(dict(request), self.options.timeout_secs)
        if outcome.ending is Ending.REPLY:
            return outcome.reply
        status, error = cause_of_end(outcome, building=building)
        return {"status": status, "error": error}


def _told(variant: Variant) -> dict[str, Any]:
    """A schedule as a worker is told of it."""
    values = {"made_at": dict(variant.made_at), "assignment": dict(variant.assignment)}
    return {**values, "trace": variant.trace.to_json()}
