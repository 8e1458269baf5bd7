"""How long search strategies think: milliseconds per ask, on spaces of ten thousand and of a hundred million solutions.

    python -m benchmarks.strategy_overhead [--strategies NAME ...] [--cost-model none] [--asks 200] [--json FILE]

One solution is asked at a time, and its made-up time is told before the next. A strategy that works in rounds does its
work for a whole round in one ask and answers the others from memory: the mean is then what an ask costs, the median is
what most of them take. CPU time is that of the whole process: above the wall-clock time where a strategy uses several
threads, below it where the machine was busy with other things.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from flextune.cost.cost_model_registry import create_cost_model
from flextune.csp import Eq, In, Le, Problem
from flextune.csp.solutions import SolutionSet
from flextune.search.extras import is_installed
from flextune.search.strategy_registry import create_strategy, strategy_names, strategy_text
from flextune.testing.constraint_spaces import tensor_core_gemm
from flextune.testing.strategies import example_measurement


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy on one space; milliseconds."""

    strategy: str
    space: str
    solutions: int
    asks: int
    median_ask_ms: float
    mean_ask_ms: float
    longest_ask_ms: float
    mean_tell_ms: float
    mean_cpu_ms: float


def pinned_gemm() -> Problem:
    """27 360 solutions."""
    return tensor_core_gemm(32, 32, 32).with_constraints([Eq("wm", 8), Le("i1", 1), In("off_a", (0, 8))])


SPACES: dict[str, Callable[[], Problem]] = {
    "10^4": pinned_gemm,
    "10^8": lambda: tensor_core_gemm(1024, 1024, 1024),
}


def measured(name: str, space: str, solutions: SolutionSet, cost_model: str, asks: int) -> Row:
    """A run of `asks` trials with seed 0."""
    strategy = create_strategy(
        name,
        solutions,
        rng=np.random.default_rng(0),
        cost_model=create_cost_model(cost_model, solutions.names, seed=0),
        trials=asks,
    )
    ask_ms, tell_ms = [], []
    cpu_start = time.process_time()
    for _ in range(asks):
        start = time.perf_counter()
        asked = strategy.ask(1)
        ask_ms.append((time.perf_counter() - start) * 1e3)
        times = [example_measurement(assignment) for assignment in asked]
        start = time.perf_counter()
        strategy.tell(times)
        tell_ms.append((time.perf_counter() - start) * 1e3)
    cpu_ms = (time.process_time() - cpu_start) * 1e3 / asks
    return Row(
        strategy=name,
        space=space,
        solutions=solutions.count,
        asks=asks,
        median_ask_ms=statistics.median(ask_ms),
        mean_ask_ms=statistics.fmean(ask_ms),
        longest_ask_ms=max(ask_ms),
        mean_tell_ms=statistics.fmean(tell_ms),
        mean_cpu_ms=cpu_ms,
    )


def table(rows: Sequence[Row]) -> str:
    """One line per strategy and space."""
    head = ("strategy", "space", "median ask ms", "mean ask ms", "longest ask ms", "mean tell ms", "CPU ms per trial")
    lines = [head, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if column > 1 else cell.ljust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(line, widths, strict=True)) for line in lines)
    )


def _cells(row: Row) -> tuple[str, ...]:
    times = (row.median_ask_ms, row.mean_ask_ms, row.longest_ask_ms, row.mean_tell_ms, row.mean_cpu_ms)
    return (row.strategy, row.space, *(f"{value:.2f}" for value in times))


def main() -> None:
    """Measure every strategy whose extra is installed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", nargs="+", metavar="NAME", default=list(strategy_names()))
    parser.add_argument("--cost-model", default="none")
    parser.add_argument("--asks", type=int, default=200)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args()
    spaces = {space: make().solve() for space, make in SPACES.items()}
    rows = []
    for name in options.strategies:
        if not is_installed(strategy_text(name).extra):
            print(f"{name}: the extra {strategy_text(name).extra!r} is not installed")
            continue
        rows += [
            measured(name, space, solutions, options.cost_model, options.asks) for space, solutions in spaces.items()
        ]
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
