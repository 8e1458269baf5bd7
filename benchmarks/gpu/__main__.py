"""Check members of the spaces of GPUs on a machine without one.

    python -m benchmarks.gpu check [--target cuda:a100] [--each 3] [--json FILE]
    python -m benchmarks.gpu prepare --output FOLDER [--device h200] [--each 3] [--timed 8]

`prepare` makes the kernels of `benchmarks/gpu/first_run.sh`. `check` exits with 1 where a member is wrong, races or is
not as predicted, or a planted fault is not found.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu import opencl_members, triton_members
from benchmarks.gpu.members import WORKLOADS, Found, check, sample
from benchmarks.gpu.planted import is_found, planted
from benchmarks.gpu.prepare import prepare
from flextune.errors import EnvironmentFault
from flextune.platforms.cuda.emulation.emulator import compiler_fault, sanitizer_fault
from flextune.platforms.cuda.nvrtc import INSTALL, nvrtc_version
from flextune.platforms.opencl.simulation import simulator_fault
from flextune.platforms.triton.compiler import INSTALL as TRITON_INSTALL
from flextune.platforms.triton.compiler import version
from flextune.platforms.triton.interpreter import interpreter_fault
from flextune.target.target import Target
from flextune.trial.measurement import Candidate

PLANTED_IN = ("gemm:m=32,n=32,k=64", "gemm:m=48,n=33,k=96,dtype=bfloat16")
_DRAWN = 20
_DRAWN_OF_SEVERAL_WARPS = 100
_STEPS = 64
"""Of the first of them: a single step needs one barrier alone."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the checks found, as numbers."""

    members: int
    wrong: int
    races: int
    spilling: int
    mispredicted: int
    planted: int
    found: int

    @property
    def ok(self) -> bool:
        return not (self.wrong or self.races or self.mispredicted) and self.found == self.planted


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("command", choices=["check", "prepare"])
    parser.add_argument("--target", default="cuda:a100")
    parser.add_argument("--each", type=int, default=3, help="members of each workload's space")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--output", type=Path, default=Path("gpu-kernels"), help="where `prepare` writes")
    parser.add_argument("--device", default="h200", help="that `prepare` makes kernels for")
    parser.add_argument("--timed", type=int, default=8, help="members of each shape that is timed, for `prepare`")
    given = parser.parse_args(arguments)
    if given.command == "prepare":
        print(f"{prepare(given.output, given.device, given.each, given.timed)} bytes in {given.output}")
        return 0
    target = Target.parse(given.target)
    if fault := compiler_fault():
        raise EnvironmentFault(fault)
    with_races, with_compiler = not sanitizer_fault(), bool(nvrtc_version())
    if not with_compiler:
        print(f"not compiled: NVRTC is not installed ({INSTALL})")
    if not with_races:
        print(f"no races are looked for: {sanitizer_fault()}")
    found = [_checked(each, with_races, with_compiler) for each in sample(WORKLOADS, target, given.each)]
    faults = [
        (fault.name, is_found(fault, candidate, with_races=with_races))
        for text in PLANTED_IN
        for candidate in _of_several_warps(text, target)
        for fault in planted(candidate)
    ]
    opencl_found, opencl_faults = opencl_checks(given.each)
    found, faults = [*found, *opencl_found, *triton_checks(given.each)], [*faults, *opencl_faults]
    for name, seen in faults:
        print(f"planted: {name}: {'found' if seen else 'NOT FOUND'}")
    summary = Summary(
        members=len(found),
        wrong=sum(bool(each.wrong) for each in found),
        races=sum(each.races > 0 for each in found),
        spilling=sum(each.spills > 0 for each in found),
        mispredicted=sum(bool(each.mispredicted) for each in found),
        planted=len(faults),
        found=sum(seen for _, seen in faults),
    )
    facts = {name: getattr(summary, name) for name in Summary.__dataclass_fields__}
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    if given.json:
        given.json.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    return 0 if summary.ok else 1


def opencl_checks(each: int) -> tuple[list[Found], list[tuple[str, bool]]]:
    """Members on PoCL and under oclgrind, and the faults planted in them with whether they were found."""
    if fault := opencl_members.device_fault():
        print(f"no OpenCL: {fault}")
        return [], []
    simulated = not simulator_fault()
    if not simulated:
        print(f"no races of OpenCL are looked for: {simulator_fault()}")
    texts = tuple(opencl_members.computed_workloads())
    found = [
        _noted(opencl_members.check(candidate, simulated=simulated), "OpenCL ")
        for candidate in sample(texts, opencl_members.POCL, each)
    ]
    if not simulated:
        return found, []
    candidate = next(
        each for each in sample(PLANTED_IN[:1], opencl_members.POCL, _DRAWN) if each.assignment["depth"] < _STEPS
    )
    faults = [
        (name, opencl_members.is_found(candidate, source, plan))
        for name, source, plan in opencl_members.planted(candidate)
    ]
    return found, faults


def triton_checks(each: int) -> list[Found]:
    """Members in Triton's interpreter, and compiled for GPUs of NVIDIA and AMD."""
    if not version():
        print(f"no Triton: {TRITON_INSTALL}")
        return []
    if fault := interpreter_fault():
        print(f"Triton's kernels are not interpreted: {fault}")
    found = [] if interpreter_fault() else triton_members.interpreted_members(each)
    return [
        *(_noted(one, "Triton, interpreted: ") for one in found),
        *(
            _noted(one, f"Triton, {one.candidate.target.word('arch')}: ")
            for one in triton_members.compiled_members(each)
        ),
    ]


def _of_several_warps(text: str, target: Target) -> Iterator[Candidate]:
    """A padded and a swizzled member that need all barriers: lanes of one warp meet at its instructions anyway."""
    found = sample([text], target, _DRAWN_OF_SEVERAL_WARPS)
    drawn = [each for each in found if each.assignment["threads"] > target.number("warp")]
    for swizzled in (0, 1):
        yield from [each for each in drawn if each.assignment.get("swizzle", 0) == swizzled][:1]


def _checked(candidate: Candidate, with_races: bool, with_compiler: bool) -> Found:
    return _noted(check(candidate, with_races=with_races, with_compiler=with_compiler))


def _noted(found: Found, what: str = "") -> Found:
    note = found.fault or ("spills" if found.spills else "ok")
    print(
        f"{what}{found.candidate.workload}: {note}" + (f" [{found.candidate.assignment}]" if found.fault else ""),
        flush=True,
    )
    return found


if __name__ == "__main__":
    raise SystemExit(main())
