"""FPGAs: cycles of our overlay in Verilator beside the least that its multipliers allow, and its analytic model.

    python -m benchmarks.platforms.fpga [--model 200] [--cells]

The cases are products, the last one of the shape of a 1x1 convolution on 14 x 14 points, on the overlay that the
analytic model likes best for the part; there random schedules are simulated. Ideal is one multiply-add a cycle for each
element of that overlay. `--model` compares the model with simulated cycles on random members, `--cells` what a space
says of an overlay's cells with yosys' counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.platforms.case import PlatformCase
from flextune.csp import Assignment, Eq
from flextune.errors import EnvironmentFault
from flextune.platforms import platform_registry
from flextune.platforms.fpga.overlay import Overlay
from flextune.platforms.fpga.yosys import cells_of
from flextune.schedule.space import SearchSpace
from flextune.target.kinds import scale_of, unmeasurable
from flextune.target.target import Target
from flextune.testing.platforms import output_fault
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

PART = "fpga:zu3eg"
WORKLOADS = (
    "gemm:m=64,n=64,k=64,dtype=int8",
    "gemm:m=256,n=256,k=256,dtype=int8",
    "gemm:m=196,n=64,k=256,dtype=int8",
)
TRIALS = 3
HARDWARE = ("rows", "columns", "bus", "results", "depth", "slots")
MODELLED = (Overlay(4, 4, 8, 4, 128, 4), Overlay(8, 8, 16, 4, 256, 4), Overlay(8, 4, 16, 2, 128, 2))


def cases() -> Iterator[PlatformCase]:
    target = Target.parse(PART)
    if fault := unmeasurable(target):
        raise EnvironmentFault(fault)
    scale = scale_of(target)
    for text in WORKLOADS:
        space = platform_registry.get("fpga").search_space(parse_workload(text), target)
        overlay = [Eq(name, space.default[name]) for name in HARDWARE]
        drawn = space.solutions.restrict(overlay).sample(np.random.default_rng(0), TRIALS)
        outcomes = [_cost(space, assignment) for assignment in (space.default, *drawn)]
        cost, fault = min(outcomes, key=lambda outcome: outcome[0])
        ideal = space.workload.flops / 2 / (space.default["rows"] * space.default["columns"])
        wrong = [fault for _, fault in outcomes if fault]
        yield PlatformCase(PART, text, not wrong, cost, scale.unit, scale.origin, ideal, outcomes[0][0])


def _cost(space: SearchSpace, assignment: Assignment) -> tuple[float, str]:
    """Cycles, and what is wrong with the outputs."""
    platform = platform_registry.get("fpga")
    [artifact] = platform.build([Candidate(space.workload, space.target, space.trace, assignment)])
    kernel = platform.load(artifact)
    fault = output_fault(kernel, space.workload)
    return kernel.time(1, 1)[0], fault


def model_errors(count: int, seed: int = 0) -> Iterator[float]:
    """Relative errors of the model on random members of random products' spaces, on a few overlays."""
    rng, target = np.random.default_rng(seed), Target.parse(PART)
    for number in range(count):
        m, n, k = rng.integers(1, 129, 3)
        workload = parse_workload(f"gemm:m={m},n={n},k={k},dtype=int8")
        space = platform_registry.get("fpga").search_space(workload, target)
        overlay = MODELLED[number % len(MODELLED)]
        pinned = [Eq(name, getattr(overlay, name)) for name in HARDWARE]
        [member] = space.solutions.restrict(pinned).sample(rng, 1)
        cycles, fault = _cost(space, member)
        assert not fault, fault
        yield 1 / space.promise(member) / cycles - 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.platforms.fpga", description=__doc__)
    parser.add_argument("--model", type=int, default=200, help="so many random members")
    parser.add_argument("--cells", action="store_true", help="compare cells with yosys")
    given = parser.parse_args(arguments)
    errors = np.abs(np.array(list(model_errors(given.model))))
    within = float(np.mean(errors <= 0.1))
    print(
        f"model: {within:.1%} of {given.model} within 10 %, median {np.median(errors):.2%}, largest {errors.max():.1%}"
    )
    for overlay in MODELLED if given.cells else ():
        print(f"{overlay}: {overlay.dsps} DSP, {overlay.brams} BRAM predicted; yosys {cells_of(overlay)}", flush=True)
    return int(within < 0.9)


if __name__ == "__main__":
    raise SystemExit(main())
