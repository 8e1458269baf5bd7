"""Where the time of a built model goes: every kernel timed in its place, with the caches as they are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from flextune.apply.build import Build
from flextune.apply.kernel_names import key_of


def profile_in_turns(builds: Sequence[Build], rounds: int, runs: int) -> list[dict[str, float]]:
    """For each of several builds of one model: workload key -> seconds of one call, over all runs and places.

    The builds take turns, so that disturbances meet all alike; of the times the lower quartile counts, because what
    disturbs only ever adds.
    """
    times: list[dict[str, list[float]]] = [defaultdict(list) for _ in builds]
    for _ in range(rounds):
        for build, found in zip(builds, times, strict=True):
            for name, secs in build.executable.kernel_secs(runs, warmup=1).items():
                key = key_of(name)
                if key is not None:
                    found[key] += secs
    return [{key: float(np.quantile(secs, 0.25)) for key, secs in found.items()} for found in times]
