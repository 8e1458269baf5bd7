"""VTA: cycles of its simulator beside the least that its products alone take, and random schedules that must be right.

    python -m benchmarks.platforms.vta [--random 1000] [--seed 0]

The cases are products and layers of ResNet-18 in int8. Ideal is one cycle for
256 multiply-adds: the product of a vector by a block. What is drawn at random are targets, workloads and members of
their spaces; each result is compared with NumPy's in int32.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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

TRIALS = 64
TARGET = "vta"
OPERATIONS_A_CYCLE = 2 * 16 * 16
WORKLOADS = (
    "gemm:m=64,n=64,k=64,dtype=int8",
    "gemm:m=256,n=256,k=256,dtype=int8",
    "bmm:b=4,m=128,n=128,k=64,dtype=int8",
    "conv2d:n=1,h=56,w=56,ci=64,co=64,kh=3,kw=3,pad=1,dtype=int8,epilogue=bias+relu",
    "conv2d:n=1,h=28,w=28,ci=128,co=128,kh=3,kw=3,pad=1,dtype=int8",
    "conv2d:n=1,h=14,w=14,ci=256,co=512,kh=1,kw=1,stride=2,dtype=int8",
    "conv2d:n=1,h=7,w=7,ci=512,co=512,kh=3,kw=3,pad=1,dtype=int8,epilogue=bias+relu",
)


def cases() -> Iterator[PlatformCase]:
    return tuned_cases(TARGET, WORKLOADS, TRIALS, ideal_cycles)


def ideal_cycles(workload: Workload, target: Target) -> float:
    """One for each product of a vector by a block."""
    del target
    plain = {name: value for name, value in workload.params if name != "epilogue"}
    return Workload(workload.operator, tuple(plain.items())).flops / OPERATIONS_A_CYCLE


@dataclass(frozen=True, slots=True)
class RandomOutcome:
    """One schedule that was drawn, and what is wrong with it."""

    candidate: Candidate
    fault: str


def random_outcomes(count: int, seed: int, members: int = 4) -> Iterator[RandomOutcome]:
    """Schedules of workloads and targets that are drawn, so many of each space, each of which was executed."""
    rng = np.random.default_rng(seed)
    done = 0
    while done < count:
        space = _random_space(rng)
        for assignment in space.solutions.sample(rng, min(members, count - done)):
            candidate = Candidate(space.workload, space.target, space.trace, assignment)
            yield RandomOutcome(candidate, fault_of(candidate, int(rng.integers(1 << 30))))
            done += 1


def _random_space(rng: np.random.Generator) -> SearchSpace:
    while True:
        target, workload = Target.parse(_random_target(rng)), parse_workload(_random_workload(rng))
        try:
            return platform_registry.get("vta").search_space(workload, target)
        except InfeasibleError:  # buffers of that target that are too small for it
            continue


def _random_target(rng: np.random.Generator) -> str:
    values = {
        "input": 16 << rng.integers(7, 12),
        "weight": 256 << rng.integers(6, 11),
        "accumulator": 64 << rng.integers(7, 12),
        "micro_op": 4 << rng.integers(6, 14),
        "output_bits": rng.choice([8, 32]),
        "bus": rng.choice([4, 8, 16]),
        "latency": rng.choice([0, 64, 300]),
        "access": rng.choice([1, 2, 4]),
        "queue": rng.choice([1, 3, 512]),
    }
    return "vta:" + ",".join(f"{name}={value}" for name, value in values.items())


def _random_workload(rng: np.random.Generator) -> str:
    epilogue = rng.choice(["none", "relu", "bias", "bias+relu", "relu+bias+bias"])
    operator = rng.choice(["gemm", "gemm", "bmm", "gemv", "conv1d", "conv2d", "conv2d", "conv2d"])
    drawn = {"gemm": _gemm, "bmm": _bmm, "gemv": _gemv}.get(operator, _convolution)
    values = drawn(rng, operator) | {"dtype": "int8", "epilogue": epilogue}
    return f"{operator}:" + ",".join(f"{name}={value}" for name, value in values.items())


def _gemm(rng: np.random.Generator, operator: str) -> dict[str, object]:
    del operator
    m, n, k = rng.integers(1, 90, 3)
    return {"m": m, "n": n, "k": k, "ta": rng.integers(2), "tb": rng.integers(2)}


def _bmm(rng: np.random.Generator, operator: str) -> dict[str, object]:
    del operator
    m, n, k = rng.integers(1, 50, 3)
    return {"b": rng.integers(1, 4), "m": m, "n": n, "k": k, "tb": rng.integers(2)}


def _gemv(rng: np.random.Generator, operator: str) -> dict[str, object]:
    del operator
    m, k = rng.integers(1, 120, 2)
    return {"m": m, "k": k}


def _convolution(rng: np.random.Generator, operator: str) -> dict[str, object]:
    """Windows that fit into the padded image, of any stride and dilation."""
    groups = int(rng.choice([1, 1, 2, 3]))
    values: dict[str, object] = {"n": rng.integers(1, 3), "groups": groups}
    values |= {"ci": groups * rng.integers(1, 40), "co": groups * rng.integers(1, 40)}
    axes, pads = "hw" if operator == "conv2d" else "w", []
    dilation = int(rng.integers(1, 3))
    for axis in axes:
        taps, extent, pad = (int(each) for each in (rng.integers(1, 5), rng.integers(1, 20), rng.integers(0, 20)))
        while extent + 2 * pad < (taps - 1) * dilation + 1:
            extent += 1
        values |= {axis: extent, f"k{axis}": taps}
        pads.append(pad)
    values |= {"stride": rng.integers(1, 4), "dilation": dilation, "pad": "x".join(map(str, pads))}
    last = rng.integers(2)
    return values | {"layout": ("nhwc" if last else "nchw") if operator == "conv2d" else ("nwc" if last else "ncw")}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.platforms.vta", description=__doc__)
    parser.add_argument("--random", type=int, default=1000, help="so many schedules")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    started, wrong, spaces = time.perf_counter(), 0, set()
    for outcome in random_outcomes(given.random, given.seed):
        spaces.add((str(outcome.candidate.workload), outcome.candidate.target.key))
        if outcome.fault:
            wrong += 1
            print(f"{outcome.candidate.workload}  {outcome.candidate.target}\n  {outcome.candidate.assignment}")
            print(f"  {outcome.fault}", flush=True)
    secs = time.perf_counter() - started
    print(f"{given.random} random schedules of {len(spaces)} workloads, {wrong} wrong, {secs:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
