"""Constraint spaces: size, compilation, sampling and restriction, next to OR-Tools' CP-SAT and a plain NumPy join.

    python -m benchmarks.csp [--suite quick|full] [--json FILE]

Each space runs in a fresh process, so that the peak memory is its own. Times are medians over repeats, except those of
compilations longer than a second and of the peers. The peers run where they can finish: CP-SAT enumerates spaces up to
20 000 solutions, and is asked 20 times for a random solution of every space; the join (one variable a column, filtered
as soon as a constraint is complete) runs on spaces up to 500 000 solutions.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from flextune.csp import Eq, In, Le, Problem
from flextune.testing.constraint_spaces import (
    CONV3D_COUNTS,
    CONV3D_SHAPE,
    GEMM_COUNTS,
    conv3d,
    tensor_core_gemm,
    vnni_gemm,
)

_SAMPLES = 100_000
_REPEATS = 7
_LONG_SECS = 1.0
_ENUMERATED = 20_000
_JOINED = 500_000
_ASKED = 20


@dataclass(frozen=True)
class Space:
    """A space to measure, with its exact size where that is known from elsewhere."""

    name: str
    make: Callable[[], Problem]
    count: int | None = None
    full_only: bool = False


@dataclass(frozen=True)
class Row:
    """What was measured; times in the unit of the name, None where a peer did not run."""

    space: str
    variables: int
    chosen: int
    count: int
    states: int
    edges: int
    compile_ms: float
    samples_per_sec: float
    restrict_ms: float
    peak_mb: float
    join_ms: float | None
    cp_sat_enumerate_ms: float | None
    cp_sat_samples_per_sec: float | None


def _pinned_gemm() -> Problem:
    return tensor_core_gemm(32, 32, 32).with_constraints([Eq("wm", 8), Le("i1", 1), In("off_a", (0, 8))])


SPACES = (
    Space("x86 vnni gemm 32x64x64", lambda: vnni_gemm(32, 64, 64)),
    Space("x86 vnni gemm 512^3", lambda: vnni_gemm(512, 512, 512)),
    Space("x86 vnni gemm 1920x1088x4096", lambda: vnni_gemm(1920, 1088, 4096)),
    Space("tensor-core gemm 32^3, pinned", _pinned_gemm),
    *(
        Space(f"tensor-core gemm {size}^3", lambda size=size: tensor_core_gemm(size, size, size), count)
        for size, count in GEMM_COUNTS.items()
    ),
    *(
        Space(f"conv3d, {levels} levels", lambda levels=levels: conv3d(CONV3D_SHAPE, levels), count)
        for levels, count in CONV3D_COUNTS.items()
    ),
    Space("conv3d 256x28, 5 levels", lambda: conv3d((256, 8, 28, 28, 128, 3, 3, 3), 5), full_only=True),
)


def median_secs(action: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Median time of the action; a single run where it takes long."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
        if times[0] > _LONG_SECS:
            break
    return statistics.median(times)


def measured(space: Space) -> Row:
    """Measure one space, in this process."""
    problem = space.make()
    compile_secs = median_secs(problem.solve)
    solutions = problem.solve()
    if space.count is not None and solutions.count != space.count:
        raise AssertionError(f"{space.name}: {solutions.count} solutions, expected {space.count}")
    rng = np.random.default_rng(0)
    sample_secs = median_secs(lambda: solutions.sample(rng, _SAMPLES))
    one, other = solutions.sample(rng, 2)
    keys = [variable.name for variable in problem.variables if not variable.auxiliary]
    keys = [keys[i] for i in rng.choice(len(keys), 4, replace=False)]
    pins = [In(name, (one[name], other[name])) for name in keys]
    restrict_secs = median_secs(lambda: solutions.restrict(pins).sample(rng, 1))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Row(
        space=space.name,
        variables=len(problem.variables),
        chosen=len(problem.variables) - len(problem.definitions),
        count=solutions.count,
        states=solutions.states,
        edges=solutions.edges,
        compile_ms=compile_secs * 1e3,
        samples_per_sec=_SAMPLES / sample_secs,
        restrict_ms=restrict_secs * 1e3,
        peak_mb=peak_mb,
        join_ms=_join_ms(problem, solutions.count),
        cp_sat_enumerate_ms=_enumerate_ms(problem, solutions.count),
        cp_sat_samples_per_sec=_drawn_per_sec(problem),
    )


def _join_ms(problem: Problem, count: int) -> float | None:
    if count > _JOINED:
        return None
    start = time.perf_counter()
    found = joined_rows(problem)
    elapsed = time.perf_counter() - start
    if found != count:
        raise AssertionError(f"the join found {found} solutions, the diagram {count}")
    return elapsed * 1e3


def joined_rows(problem: Problem) -> int:
    """The number of solutions by a plain column join."""
    columns: dict[str, np.ndarray] = {}
    rows = 1
    definitions, waiting = dict(problem.definitions), list(problem.constraints)
    for variable in problem.variables:
        if variable.domain is None:
            continue
        width = len(variable.domain)
        columns = {name: np.repeat(column, width) for name, column in columns.items()}
        columns[variable.name] = np.tile(np.array(variable.domain.values, dtype=np.int64), rows)
        rows *= width
        for name in [name for name, rule in definitions.items()]:
            if all(operand in columns for operand in definitions[name].inputs() if isinstance(operand, str)):
                columns[name] = np.broadcast_to(definitions.pop(name).compute(columns)[0], (rows,))
        for constraint in [c for c in waiting if all(name in columns for name in c.scope)]:
            waiting.remove(constraint)
            keep = np.broadcast_to(constraint.holds(columns), (rows,))
            columns = {name: column[keep] for name, column in columns.items()}
            rows = int(keep.sum())
    return rows


def _enumerate_ms(problem: Problem, count: int) -> float | None:
    if count > _ENUMERATED:
        return None
    from flextune.testing.cp_sat import enumerated  # optional: needs ortools

    start = time.perf_counter()
    found = len(enumerated(problem))
    if found != count:
        raise AssertionError(f"CP-SAT found {found} solutions, the diagram {count}")
    return (time.perf_counter() - start) * 1e3


def _drawn_per_sec(problem: Problem) -> float | None:
    from flextune.testing.cp_sat import drawn  # optional: needs ortools

    start = time.perf_counter()
    drawn(problem, _ASKED, np.random.default_rng(0))
    return _ASKED / (time.perf_counter() - start)


def _run(position: int) -> Row:
    return measured(SPACES[position])


def table(rows: list[Row]) -> str:
    """The rows as an aligned table."""
    head = (
        "space", "variables", "solutions", "states", "compile ms", "samples/s", "restrict ms", "peak MB",
        "join ms", "CP-SAT all ms", "CP-SAT samples/s",
    )  # fmt: skip
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) if not column else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )  # fmt: skip


def _cells(row: Row) -> tuple[str, ...]:
    def shown(value: float | None, digits: int = 1) -> str:
        return "-" if value is None else f"{value:,.{digits}f}"

    return (
        row.space,
        f"{row.chosen}+{row.variables - row.chosen}",
        f"{row.count:,}",
        f"{row.states:,}",
        shown(row.compile_ms),
        shown(row.samples_per_sec, 0),
        shown(row.restrict_ms),
        shown(row.peak_mb, 0),
        shown(row.join_ms),
        shown(row.cp_sat_enumerate_ms),
        shown(row.cp_sat_samples_per_sec, 0),
    )


def main() -> None:
    """Measure every space of the suite and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=("quick", "full"), default="full")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args()
    rows = []
    for position, space in enumerate(SPACES):
        if options.suite == "full" or not space.full_only:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(_run, (position,)))
    print(table(rows))
    print("variables: chosen+auxiliary; restrict: IN on four variables, then one sample; join and CP-SAT: peers")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
