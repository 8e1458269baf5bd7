"""TVM's own tuner, MetaSchedule: the best program of its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tvm
import tvm.s_tir.tensor_intrin  # for traces that name an intrinsic; takes seconds, outside of all timing
from tvm.s_tir import meta_schedule

from benchmarks.peers.call import Call, Job, UnsupportedError
from flextune.measure.data import KernelData
from flextune.platforms.x86.code_generation import compile_module, tvm_target

RECORDS_FOLDER = "metaschedule"


def prepare(job: Job, data: KernelData) -> list[Call]:
    """Compiled as flextune's programs are, for the same target."""
    database = open_records(job.path / RECORDS_FOLDER)
    schedule = meta_schedule.tir_integration.compile_tir(database, program(job), tvm_target(job.target))
    if schedule is None:
        raise UnsupportedError("MetaSchedule found no program that runs")
    main = compile_module(schedule.mod, job.target, checked=False)["main"]
    arguments = [tvm.runtime.from_dlpack(array) for array in (*data.inputs, *data.outputs)]
    return [Call(lambda: main(*arguments), lambda: data.outputs[0])]


def program(job: Job) -> Any:
    """What is tuned: the unscheduled program that flextune starts from too."""
    return job.workload.prim_func()


def open_records(folder: Path) -> Any:
    """The tuner's own form of records."""
    folder.mkdir(exist_ok=True)
    return meta_schedule.database.JSONDatabase(str(folder / "workloads.json"), str(folder / "records.json"))
