"""Members of the spaces of products in Triton: what they compute in its interpreter, and what its compiler makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.gpu.members import Found, sample
from flextune.errors import FlextuneError
from flextune.measure.output_check import check_outputs, poison
from flextune.platforms import platform_registry
from flextune.platforms.base import Array
from flextune.platforms.triton.interpreter import interpret
from flextune.platforms.triton.platform import program_of
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.workload import Workload

WORKLOADS = (
    "gemm:m=37,n=41,k=150,dtype=float16_float32,tb=1,epilogue=bias+relu",
    "gemm:m=48,n=40,k=64,dtype=float16,ta=1",
    "gemm:m=64,n=33,k=300,dtype=bfloat16,epilogue=relu",
    "gemm:m=20,n=70,k=130,dtype=float32,ta=1,tb=1,epilogue=bias",
    "gemm:m=40,n=32,k=96,dtype=tf32",
    "gemm:m=33,n=50,k=260,dtype=int8",
    "bmm:b=2,m=20,n=33,k=40,dtype=float16_float32,tb=1",
)
TARGETS = ("triton:h200", "triton:a100", "rocm:mi300x")


def interpreted(candidates: Sequence[Candidate]) -> list[str]:
    """What is wrong with the numbers of each; all run in one process."""
    programs = [program_of(candidate) for candidate in candidates]
    inputs = [candidate.workload.random_inputs(0) for candidate in candidates]
    given = [arguments(each.workload, arrays) for each, arrays in zip(candidates, inputs, strict=True)]
    found = interpret(programs, given)
    return [
        check_outputs(each.workload, [after["c"]], each.workload.reference(list(arrays))).error
        for each, arrays, after in zip(candidates, inputs, found, strict=True)
    ]


def arguments(workload: Workload, inputs: Sequence[Array]) -> Mapping[str, Array]:
    """The arrays of a program by its parameters, the output poisoned; bfloat16 as the float32 numbers that they are."""
    [output], [reference] = workload.outputs, workload.reference(list(inputs))
    plain = [
        spec.element.decode(array) if spec.element.name == "bfloat16" else array
        for spec, array in zip(workload.inputs, inputs, strict=True)
    ]
    names = ("a", "b", "bias")[: len(plain)]
    return dict(zip(names, map(np.ascontiguousarray, plain), strict=True)) | {
        "c": poison(reference, output.element)
    }  # fmt: skip


def compiled(candidate: Candidate) -> Found:
    """What the compiler makes of a member: no spills, no more shared memory than the constraints allow for."""
    try:
        [artifact] = platform_registry.get(candidate.target.kind).build([candidate])
    except FlextuneError as error:
        return Found(candidate, f"{type(error).__name__}: {error}", 0, 0, "")
    report, assignment = artifact.report, candidate.assignment
    most = max(value for name, value in assignment.items() if name.endswith("shared_bytes"))
    fault = f"{report.shared_bytes} shared bytes, at most {most} were predicted" if report.shared_bytes > most else ""
    return Found(candidate, "", 0, 4 * report.spills, fault)


def compiled_members(each: int) -> list[Found]:
    return [compiled(candidate) for text in TARGETS for candidate in sample(WORKLOADS, Target.parse(text), each)]


def interpreted_members(each: int) -> list[Found]:
    """What the interpreter says of members of the first target's spaces."""
    candidates = list(sample(WORKLOADS, Target.parse(TARGETS[0]), each))
    wrong = interpreted(candidates)
    return [Found(candidate, fault, 0, 0, "") for candidate, fault in zip(candidates, wrong, strict=True)]
