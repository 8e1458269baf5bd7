"""Where the time of a built model goes: every kernel timed in its place, with the caches as they are there."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from flextune.optimization.contender import Contender


def interleaved_profile(
    contenders: Sequence[Contender], rounds: int, runs: int, deadline: float = math.inf
) -> list[dict[str, float]]:
    """For each of several builds of one model: workload key -> seconds of one call, over all runs and places.

    The builds take turns, so that disturbances meet all alike; of the times the lower quartile counts, because what
    disturbs only ever adds. A build that fails has no kernels. After `deadline` (of `time.perf_counter`) no other round
    begins, the first one excepted.
    """
    times: list[dict[str, list[float]]] = [defaultdict(list) for _ in contenders]
    for number in range(rounds):
        if number and time.perf_counter() >= deadline:
            break
        for contender, found in zip(contenders, times, strict=True):
            keys = contender.build.executable.workload_keys
            for name, secs in contender.opened.kernel_secs(runs).items():
                if name in keys:
                    found[keys[name]] += secs
    return [
        {} if contender.failed else {key: float(np.quantile(secs, 0.25)) for key, secs in found.items()}
        for contender, found in zip(contenders, times, strict=True)
    ]
