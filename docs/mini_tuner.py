"""A whole autotuner on one page: what flextune does, without its workers, records, models and strategies.

    python docs/mini_tuner.py "gemm:m=256,n=256,k=256" 16

A workload becomes a space: a trace of schedule steps with open parameters, and a constraint problem that says which
values they may take. The problem is compiled into the exact set of its solutions, from which candidates are drawn.
Each is applied, compiled, checked against NumPy and timed; half of the draws stay near the best one so far.
Everything here runs in this process: a candidate that crashed would take it down. `flextune tune` does the same with
workers that can be killed, parallel builds, a learned model and a database.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator

from flextune.target.detect import detect

TARGET = detect()
os.environ.setdefault(
    "TVM_NUM_THREADS", str(TARGET.cores)
)  # by itself TVM uses half of them; must be set before it loads

import numpy as np  # noqa: E402

from flextune.aligned import aligned_copy  # noqa: E402
from flextune.csp import Assignment  # noqa: E402
from flextune.errors import ScheduleError  # noqa: E402
from flextune.platforms import platform_registry  # noqa: E402
from flextune.schedule.space import SearchSpace  # noqa: E402
from flextune.trial.measurement import Candidate  # noqa: E402
from flextune.workload import Workload, parse_workload  # noqa: E402


def propose(space: SearchSpace, rng: np.random.Generator, best: list[Assignment]) -> Iterator[Assignment]:
    """The default first; then uniform draws and neighbours of the best in turn. Never the same twice."""
    seen = {space.default}
    yield space.default
    while len(seen) < space.solutions.count:
        near = space.solutions.neighbours(best[-1]) if best and rng.random() < 0.5 else ()
        pool = near if len(near) else space.solutions.sample(rng, 1)
        candidate = pool[int(rng.integers(len(pool)))]
        if candidate not in seen:
            seen.add(candidate)
            yield candidate


class Bench:
    """Builds a candidate, checks its result, and times it."""

    def __init__(self, workload: Workload, space: SearchSpace) -> None:
        self.workload, self.space = workload, space
        self.platform = platform_registry.get(TARGET.kind)
        self.inputs = [aligned_copy(array) for array in workload.random_inputs(0)]
        self.expected = workload.reference(self.inputs)

    def seconds(self, assignment: Assignment) -> float | None:
        """Median seconds of a call; None for a candidate that is illegal or wrong."""
        candidate = Candidate(self.workload, TARGET, self.space.trace, assignment)
        try:
            [artifact] = self.platform.build([candidate])
        except ScheduleError:
            return None
        kernel = self.platform.load(artifact)
        outputs = [aligned_copy(np.zeros(spec.shape, spec.dtype)) for spec in self.workload.outputs]
        kernel.bind(self.inputs, outputs)
        kernel.run()
        if not all(
            self.workload.tolerance().accepts(got, want) for got, want in zip(outputs, self.expected, strict=True)
        ):
            return None
        return statistics.median(kernel.time(number=3, repeats=5))


def tune(text: str, trials: int, seed: int = 0) -> tuple[Assignment, float]:
    """The best assignment found and its seconds."""
    workload = parse_workload(text)
    space = platform_registry.get(TARGET.kind).search_space(workload, TARGET)
    print(f"{workload}: {space.solutions.count} schedules")
    bench, best, best_secs = Bench(workload, space), [], float("inf")
    for trial, assignment in enumerate(propose(space, np.random.default_rng(seed), best), start=1):
        seconds = bench.seconds(assignment)
        if seconds is not None and seconds < best_secs:
            best_secs = seconds
            best.append(assignment)
            print(f"trial {trial}: {seconds * 1e3:.3f} ms, {workload.flops / seconds / 1e9:.1f} GFLOP/s  {assignment}")
        if trial >= trials:
            break
    return best[-1], best_secs


if __name__ == "__main__":
    tune(sys.argv[1] if len(sys.argv) > 1 else "gemm:m=256,n=256,k=256", int(sys.argv[2]) if len(sys.argv) > 2 else 16)
