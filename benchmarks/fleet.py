"""A fleet: trials per second of three nodes over one, and what the driver itself takes for a candidate.

    python -m benchmarks.fleet [--overhead | --nodes]

Nodes are those of a Ray cluster on this machine; a trial of the null platform takes 50 ms, in which it computes
nothing. The nodes are timed in turns, one node and three. The driver's overhead is its processor time per candidate
with 64 simulated hosts that answer at once, and holds what these take to read requests and write answers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from flextune.csp.assignment import Assignment
from flextune.measure.fleet.fleet_runner import FleetRunner
from flextune.measure.measure_options import MEBIBYTE, MeasureOptions
from flextune.platforms.null.kernel import PAUSE, null_secs
from flextune.testing.fleets import SimulatedFleet, example_host
from flextune.testing.runners import NULL, null_candidate
from flextune.trial.measurement import Candidate

_PAUSE_MS = 50
_TRIALS = 120
_TURNS = 2
_HOSTS = 64
_COUNTS = (1_000, 10_000, 100_000)


def paused(count: int) -> list[Candidate]:
    """Different candidates that take 50 ms each."""
    first = null_candidate(1)
    values = [Assignment({"rows": rows, PAUSE: _PAUSE_MS}) for rows in range(1, count + 1)]
    return [Candidate(first.workload, NULL, first.trace, each) for each in values]


def overhead() -> None:
    """Print the driver's time per candidate, for more and more of them."""
    print(f"{'candidates':>10}  ms per candidate ({_HOSTS} hosts)")
    for count in _COUNTS:
        candidates = [null_candidate(rows) for rows in range(1, count + 1)]
        fleet = SimulatedFleet([example_host(str(number)) for number in range(_HOSTS)], null_secs)
        runner = FleetRunner(fleet, NULL, _HOSTS)
        began = time.process_time()
        measured = sum(each.ok for each in runner.measure(candidates))
        print(f"{measured:>10}  {1e3 * (time.process_time() - began) / count:.3f}")


def nodes() -> None:
    """Print trials per second of one node and of three, and their ratio, in turns."""
    import ray
    from ray.cluster_utils import Cluster

    from flextune.measure.fleet.opened import fleet_runner

    cluster = Cluster()
    options = MeasureOptions(workers=1, memory_bytes=128 * MEBIBYTE, min_repeat_secs=0.0)
    candidates = paused(_TRIALS)
    rates: dict[int, list[float]] = {1: [], 3: []}
    running = [cluster.add_node(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False)]
    for _ in range(_TURNS):
        for count in rates:
            while len(running) < count:
                running.append(cluster.add_node(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False))
            while len(running) > count:
                cluster.remove_node(running.pop())
            with fleet_runner(f"ray:{cluster.address}", options, NULL) as runner:
                if runner.width != count:
                    raise SystemExit(f"{runner.width} of {count} nodes measure: the machine is too busy")
                list(runner.measure(candidates[: 4 * count]))
                began = time.perf_counter()
                measured = sum(each.ok for each in runner.measure(candidates))
                rates[count].append(measured / (time.perf_counter() - began))
    for count, found in rates.items():
        print(f"{count} nodes  {' '.join(f'{rate:.1f}' for rate in found)} trials per second")
    print(
        f"three over one  {max(rates[3]) / max(rates[1]):.2f} (best turns), {sum(rates[3]) / sum(rates[1]):.2f} (means)"
    )
    ray.shutdown()
    cluster.shutdown()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overhead", action="store_true", help="only the driver's time per candidate")
    parser.add_argument("--nodes", action="store_true", help="only one node and three")
    options = parser.parse_args(arguments)
    if not options.nodes:
        overhead()
    if not options.overhead:
        nodes()


if __name__ == "__main__":
    main()
