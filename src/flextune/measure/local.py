"""The runner of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flextune.measure.measure_options import MeasureOptions
from flextune.measure.runner import Runner
from flextune.measure.worker_pool import WorkerPool
from flextune.target.target import Target


@contextmanager
def local_runner(options: MeasureOptions, target: Target) -> Iterator[Runner]:
    """Measures candidates for a target in worker processes of this machine; they end with the `with` statement.

    They start at once, in the background, and load the target's platform: what comes next need not wait for them.
    """
    with WorkerPool(options, target.cores) as pool:
        pool.start(target.kind)
        yield pool
