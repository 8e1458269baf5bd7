"""Ascend: modelled cycles of kernels in Ascend C beside what their arithmetic alone takes, and random schedules.

    python -m benchmarks.platforms.ascend [--random 200] [--seed 0]

Kernels are executed by an emulation of the interface, so what is shown is that they compute what they should, and wait
for what they use; cycles are those of its model. Ideal is a product of 16 x 16 by 16 x 16 each cycle and core, for rows
reading and writing them once. What is drawn at random are targets, workloads and members of their spaces; each result
is compared with a reference on the CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.platforms.case import PlatformCase
from benchmarks.platforms.tuned import fault_of, tuned_cases
from flextune.errors import InfeasibleError
from flextune.platforms import platform_registry
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

TRIALS = 48
TARGET = "ascend:910b"
WORKLOADS = (
    "gemm:m=512,n=512,k=512,dtype=float16,epilogue=bias+relu",
    "gemm:m=197,n=768,k=768,tb=1,dtype=float16,epilogue=bias",
    "gemm:m=1000,n=333,k=77,ta=1,dtype=float16",
    "layer_norm:rows=197,cols=768",
    "softmax:rows=512,cols=1000",
)


def cases() -> Iterator[PlatformCase]:
    return tuned_cases(TARGET, WORKLOADS, TRIALS, ideal_cycles)


def ideal_cycles(workload: Workload, target: Target) -> float:
    """What nothing on this target can be faster than."""
    moved = sum(each.bytes for each in (*workload.inputs, *workload.outputs)) / target.number("rate")
    if workload.operator != "gemm":
        return moved
    m, n, k = workload.checked_params.integers("m", "n", "k")
    return max(moved, m * n * k / (16**3 * target.number("cores")))


def random_faults(count: int, seed: int) -> Iterator[tuple[Candidate, str]]:
    """Schedules of workloads and targets that are drawn, each executed, and what is wrong with it."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        space = _random_space(rng)
        [assignment] = space.solutions.sample(rng, 1)
        candidate = Candidate(space.workload, space.target, space.trace, assignment)
        yield candidate, fault_of(candidate, int(rng.integers(1 << 30)))


def _random_space(rng: np.random.Generator) -> SearchSpace:
    while True:
        target, workload = Target.parse(_random_target(rng)), parse_workload(_random_workload(rng))
        try:
            return platform_registry.get(target.kind).search_space(workload, target)
        except InfeasibleError:  # memories of that target that are too small for it
            continue


def _random_target(rng: np.random.Generator) -> str:
    sizes = {name: rng.choice([1, 2, 4]) << 15 for name in ("l1", "l0a", "l0b", "l0c", "ub")}
    values = {**sizes, "cores": rng.choice([1, 3, 24]), "vector_cores": rng.choice([1, 5, 48])}
    return "ascend:" + ",".join(f"{name}={value}" for name, value in values.items())


def _random_workload(rng: np.random.Generator) -> str:
    if rng.random() < 0.3:
        operator = rng.choice(["layer_norm", "softmax"])
        return f"{operator}:rows={rng.integers(1, 60)},cols={rng.integers(1, 700)}"
    m, n, k = rng.integers(1, 200, 3)
    epilogue = rng.choice(["none", "bias", "relu", "bias+relu"])
    return f"gemm:m={m},n={n},k={k},ta={rng.integers(2)},tb={rng.integers(2)},dtype=float16,epilogue={epilogue}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.platforms.ascend", description=__doc__)
    parser.add_argument("--random", type=int, default=200, help="so many schedules")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    started, wrong = time.perf_counter(), 0
    for candidate, fault in random_faults(given.random, given.seed):
        if fault:
            wrong += 1
            print(f"{candidate.workload}  {candidate.target}\n  {candidate.assignment}\n  {fault}", flush=True)
    print(f"{given.random} random schedules, {wrong} wrong, {time.perf_counter() - started:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
