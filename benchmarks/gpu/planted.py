"""Faults planted in generated source, each of which the emulation must find."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.gpu.members import emulated
from flextune.errors import FlextuneError
from flextune.platforms.cuda.source import cuda_source
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.schedule.apply import apply_trace
from flextune.trial.measurement import Candidate

BARRIER = "__syncthreads();"

_SWIZZLED_STRIDE = re.compile(r"flextune::SwizzledStride\((\d+)\)")
_STRIDE = re.compile(
    r"(flextune::load_matrix\([^\n]*?\(\((?P<type>[ \w]+)\*\)buf_dyn_shmem_ptr\)[^\n]*, )(?P<stride>\d+)\);"
)
_ELEMENT_BYTES = {"half": 2, "ushort": 2, "float": 4, "signed char": 1, "uchar": 1}
_OFF_BY_BYTES = 8


@dataclass(frozen=True, slots=True)
class Planted:
    """A program with one fault."""

    name: str
    source: str
    plan: LaunchPlan


def planted(candidate: Candidate) -> Iterator[Planted]:
    """The programs of a tiled product, each with one fault."""
    program = apply_trace(candidate.workload, candidate.trace, candidate.assignment, candidate.target)
    source, plan = cuda_source(program.module, candidate.target)
    for number, match in enumerate(re.finditer(re.escape(BARRIER), source)):
        yield Planted(f"barrier {number} left out", source[: match.start()] + source[match.end() :], plan)
    launch = plan.launches[0]
    wider = replace(launch, grid=(launch.grid[0] + 1, *launch.grid[1:]))
    if launch.grid[0] > 1 and "if (" not in source[source.index('extern "C"') :]:  # else what is too many is guarded
        yield Planted("a block too many", source, replace(plan, launches=(wider,)))
    shared = re.search(r"\* \(\(float\*\)buf_dyn_shmem_ptr\)\[", source)
    if shared:
        yield Planted("an index shifted by one", source[: shared.end()] + "1 + " + source[shared.end() :], plan)
    copy = re.search(r"\*\(float4\*\)\(\(\(float\*\)buf_dyn_shmem_ptr\) \+ \(", source)
    if copy:
        yield Planted("a tile off by 8 bytes", source[: copy.end()] + "2 + " + source[copy.end() :], plan)
    yield from _on_one_side(source, plan)
    less = replace(launch, dynamic_shared=launch.dynamic_shared - 256)
    yield Planted("too little shared memory", source, replace(plan, launches=(less,)))


def _on_one_side(source: str, plan: LaunchPlan) -> Iterator[Planted]:
    """A tile of fragments that lies otherwise than it is read: by 8 bytes in each row, or where it is swizzled."""
    longer, count = _STRIDE.subn(_longer_rows, source, count=1)
    if count:
        yield Planted("rows 8 bytes longer where they are read", longer, plan)
    read, count = _SWIZZLED_STRIDE.subn(r"\1", source, count=1)
    if count:
        yield Planted("read as if it were not swizzled", read, plan)
        written = source.replace("flextune::copy_swizzled<", "flextune::copy_async<")
        yield Planted("written as if it were not swizzled", written.replace("*flextune::swizzled(", "*("), plan)


def _longer_rows(load: re.Match[str]) -> str:
    return f"{load[1]}{int(load['stride']) + _OFF_BY_BYTES // _ELEMENT_BYTES[load['type']]});"


def is_found(fault: Planted, candidate: Candidate, *, with_races: bool) -> bool:
    """Whether the emulation reports a program as wrong, racing, or ended."""
    inputs = candidate.workload.random_inputs(0)
    try:
        wrong, races = emulated(candidate.workload, fault.source, fault.plan, inputs, with_races=with_races)
    except FlextuneError:
        return True
    return bool(wrong or races)
