"""Tunes a case with flextune: `python -m benchmarks.peers.tune_own FOLDER`.

Prints seconds, trials, and the way there (`progress`: seconds and the best time so far, where it improved) as JSON.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time

from benchmarks.peers.call import Job
from flextune.errors import FlextuneError
from flextune.measure.local import local_runner
from flextune.measure.messages import candidate_text
from flextune.trial.measurement import Candidate
from flextune.tuning.budget import Budget
from flextune.tuning.events import Event, TrialMeasured
from flextune.tuning.tune_options import TuneOptions


def main(folder: str) -> None:
    """The same run as `flextune tune WORKLOAD --trials N` with an empty database, ended as abruptly."""
    began = time.perf_counter()
    job = Job.read(folder)
    progress: list[tuple[float, float]] = []

    def watch(event: Event) -> None:
        if isinstance(event, TrialMeasured) and event.best_secs < (progress[-1][1] if progress else math.inf):
            progress.append((time.perf_counter() - began, event.best_secs))

    options = TuneOptions(Budget(job.trials), seed=job.seed)
    with local_runner(options.measure, job.target) as runner:  # first of all, as the command does
        from benchmarks.peers.own import BEST_FILE
        from flextune.database.store import open_database
        from flextune.tuning.loop import tune_workload

        started = time.perf_counter()
        with open_database(job.path / "flextune.db") as database:
            result = tune_workload(job.workload, job.target, options, database, (watch,), runner=runner)
        secs = time.perf_counter() - started
    if result.best is None or result.trace is None:
        raise FlextuneError(f"none of {result.trials} trials ran")
    best = Candidate(job.workload, job.target, result.trace, result.best)
    (job.path / BEST_FILE).write_text(json.dumps(candidate_text(best)))
    reply = {"secs": secs, "trials": result.trials, "main_secs": time.perf_counter() - began, "progress": progress}
    print(json.dumps(reply), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
