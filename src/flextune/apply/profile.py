"""Where the time of a built model goes: every kernel timed in its place, with the caches as they are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from flextune.apply.kernel_names import key_of
from flextune.apply.model_runner import OpenedModel


def interleaved_profile(models: Sequence[OpenedModel], rounds: int, runs: int) -> list[dict[str, float]]:
    """For each of several builds of one model: workload key -> seconds of one call, over all runs and places.

    The builds take turns, so that disturbances meet all alike; of the times the lower quartile counts, because what
    disturbs only ever adds. A build that fails has no kernels.
    """
    times: list[dict[str, list[float]]] = [defaultdict(list) for _ in models]
    for _ in range(rounds):
        for model, found in zip(models, times, strict=True):
            for name, secs in model.kernel_secs(runs).items():
                key = key_of(name)
                if key is not None:
                    found[key] += secs
    return [
        {} if model.failure else {key: float(np.quantile(secs, 0.25)) for key, secs in found.items()}
        for model, found in zip(models, times, strict=True)
    ]
