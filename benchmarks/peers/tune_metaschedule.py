"""Tunes a case with MetaSchedule: `python -m benchmarks.peers.tune_metaschedule FOLDER`.

All its settings are the ones it has by itself: the space that it derives from the target (VNNI where the target has
it), evolutionary search with its XGBoost model, its builder on all processors and its runner. Only the time limit of
a build is longer, since loading TVM's intrinsics in a fresh builder can come near it on a slow machine. Prints seconds
and trials as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time

from tvm.s_tir import meta_schedule

from benchmarks.peers.call import Job
from benchmarks.peers.metaschedule import RECORDS_FOLDER, open_records, program
from flextune.platforms.x86.code_generation import tvm_target

_BUILD_TIMEOUT_SECS = 120.0


def main(folder: str) -> None:
    """Leaves the records in the case's folder. A round holds 64 trials, or all of them where there are fewer."""
    job = Job.read(folder)
    started = time.perf_counter()
    database = open_records(job.path / RECORDS_FOLDER)
    meta_schedule.tir_integration.tune_tir(
        program(job),
        tvm_target(job.target),
        str(job.path / RECORDS_FOLDER),
        max_trials_global=job.trials,
        num_trials_per_iter=min(64, job.trials),
        builder=meta_schedule.builder.LocalBuilder(timeout_sec=_BUILD_TIMEOUT_SECS),
        database=database,
        seed=job.seed,
    )
    secs = time.perf_counter() - started
    print(json.dumps({"secs": secs, "trials": len(database)}), flush=True)
    os._exit(0)  # a process that ran TVM's workers can hang or crash on its way out


if __name__ == "__main__":
    main(sys.argv[1])
