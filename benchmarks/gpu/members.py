"""Members of the spaces of a GPU, and what is found of one without a GPU: numbers, races, resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tvm

from flextune.errors import FlextuneError
from flextune.measure.output_check import check_outputs, poison
from flextune.platforms import platform_registry
from flextune.platforms.base import Array
from flextune.platforms.cuda.emulation.emulator import Emulator, Order
from flextune.platforms.cuda.nvrtc import compile_cuda
from flextune.platforms.cuda.source import cuda_source
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.platforms.gpu.serial import serial_form
from flextune.schedule.apply import apply_trace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

WORKLOADS = (
    "gemm:m=48,n=64,k=32",
    "gemm:m=37,n=41,k=19,tb=1,epilogue=bias+relu",
    "gemm:m=33,n=64,k=40,ta=1,dtype=bfloat16",
    "gemm:m=32,n=40,k=33,dtype=uint8",
    "gemm:m=96,n=64,k=64,dtype=bfloat16,epilogue=bias+gelu",
    "gemm:m=48,n=40,k=64,dtype=float16",
    "gemm:m=40,n=72,k=40,ta=1,tb=1,dtype=float16_float32,epilogue=bias+relu",
    "gemm:m=33,n=40,k=64,tb=1,dtype=int8",
    "gemm:m=64,n=48,k=96,ta=1,dtype=int8",
    "gemm:m=35,n=32,k=64,tb=1,dtype=uint8",
    "gemm:m=32,n=33,k=24,dtype=tf32",
    "bmm:b=2,m=20,n=33,k=40,dtype=float16",
    "bmm:b=2,m=24,n=16,k=32,tb=1,dtype=tf32",
    "bmm:b=3,m=24,n=20,k=16",
    "bmm:b=2,m=16,n=33,k=17,tb=1,dtype=bfloat16",
    "gemv:m=40,k=70",
    "conv1d:w=20,ci=8,co=16,kw=3,pad=1",
    "conv2d:h=8,w=9,ci=5,co=12,kh=3,kw=3,pad=1,epilogue=bias+relu",
    "conv2d:h=9,w=9,ci=8,co=16,kh=3,kw=3,stride=2,layout=nhwc,dtype=bfloat16",
    "conv2d:h=8,w=9,ci=5,co=12,kh=3,kw=3,pad=1,dtype=float16_float32,epilogue=bias+relu",
    "conv2d:h=7,w=7,ci=16,co=16,kh=3,kw=3,layout=nhwc,dtype=int8",
    "conv3d:d=4,h=5,w=6,ci=4,co=8,kd=2,kh=3,kw=3,pad=1",
    "depthwise:h=9,w=8,c=6,kh=3,kw=3,pad=1",
    "conv2d_transpose:h=5,w=5,ci=8,co=8,kh=3,kw=3,stride=2",
    "softmax:rows=5,cols=77",
    "softmax:rows=3,cols=130,dtype=bfloat16",
    "layer_norm:rows=4,cols=96",
    "reduce:op=sum,m=6,n=100",
    "reduce:op=sum,m=50,n=20,axis=0",
    "reduce:op=mean,m=5,n=65,dtype=bfloat16",
    "reduce:op=argmax,m=4,n=50",
    "reduce:op=variance,m=4,n=40",
    "elementwise:shape=13x30,ops=relu",
    "elementwise:shape=16x32,ops=gelu+tanh",
    "pool2d:kind=max,h=8,w=8,c=4,kh=2,kw=2,stride=2",
    "batch_norm:n=2,c=3,h=4,w=5",
)
"""Operators and types, with sizes that no tile divides among them."""

RESOURCE_SLACK_BYTES = 1024
"""Reductions across warps keep so much at the most beside what a row's stages keep."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the checks say of one member; texts are empty where nothing is wrong."""

    candidate: Candidate
    wrong: str
    races: int
    spills: int
    mispredicted: str

    @property
    def fault(self) -> str:
        texts = [self.wrong, f"{self.races} races" if self.races else "", self.mispredicted]
        return "; ".join(filter(None, texts))


def sample(texts: Sequence[str], target: Target, each: int, seed: int = 0) -> Iterator[Candidate]:
    """The default of each workload's space, and others drawn from it: together `each`, or all there are."""
    for text in texts:
        workload = parse_workload(text)
        space = platform_registry.get(target.kind).search_space(workload, target)
        drawn = space.solutions.sample(np.random.default_rng(seed), min(each - 1, space.solutions.count))
        for assignment in dict.fromkeys((space.default, *drawn)):
            yield Candidate(workload, target, space.trace, assignment)


def check(candidate: Candidate, *, with_races: bool, with_compiler: bool) -> Found:
    """All checks of one member, those of numbers first; what stops one is a wrong member."""
    try:
        program = apply_trace(candidate.workload, candidate.trace, candidate.assignment, candidate.target)
        source, plan = cuda_source(program.module, candidate.target)
        inputs = candidate.workload.random_inputs(0)
        wrong, races = emulated(candidate.workload, source, plan, inputs, with_races=with_races)
        wrong = wrong or serial_fault(candidate, inputs)
        spills, mispredicted = resources(candidate, source, plan) if with_compiler else (0, "")
    except FlextuneError as error:
        return Found(candidate, f"{type(error).__name__}: {error}", 0, 0, "")
    return Found(candidate, wrong, races, spills, mispredicted)


def emulated(
    workload: Workload, source: str, plan: LaunchPlan, inputs: Sequence[Array], *, with_races: bool
) -> tuple[str, int]:
    """What is wrong with the generated source's numbers, and its races, in two orders of threads."""
    emulator, wrong, races = Emulator(source, plan, with_races=with_races), "", 0
    for order, eager in ((Order.FORWARD, False), (Order.BACKWARD, True)):
        arrays, references = prepared(workload, plan, inputs)
        ended = emulator.run(arrays, order, eager=eager)
        outputs = [ended.arrays[name] for name in plan.parameters[len(inputs) :]]
        wrong = wrong or check_outputs(workload, outputs, references).error
        races += ended.races
    emulator.close()
    return wrong, races


def prepared(
    workload: Workload, plan: LaunchPlan, inputs: Sequence[Array]
) -> tuple[Mapping[str, Array], Sequence[Array]]:
    """All arrays of a plan by name, outputs poisoned; and the references."""
    references = workload.reference(list(inputs))
    poisoned = [poison(array, spec.element) for array, spec in zip(references, workload.outputs, strict=True)]
    return dict(zip(plan.parameters, (*inputs, *poisoned), strict=True)), references


def serial_fault(candidate: Candidate, inputs: Sequence[Array]) -> str:
    """What is wrong with the member in plain form on the CPU."""
    workload = candidate.workload
    module = apply_trace(workload, candidate.trace, candidate.assignment).module  # for no target: without instructions
    run = tvm.compile(serial_form(module), target=tvm.target.Target({"kind": "llvm", "opt-level": 1}))
    references = workload.reference(list(inputs))
    outputs = [poison(array, spec.element) for array, spec in zip(references, workload.outputs, strict=True)]
    tensors = [tvm.runtime.tensor(array) for array in (*inputs, *outputs)]
    run["main"](*tensors)
    found = [tensor.numpy() for tensor in tensors[len(inputs) :]]
    return check_outputs(workload, found, references).error


def resources(candidate: Candidate, source: str, plan: LaunchPlan) -> tuple[int, str]:
    """Bytes that are spilled, and where the compiler's account is not what the constraints predict."""
    said = compile_cuda(source, candidate.target.word("arch")).resources
    shared, assignment, faults = said.shared_bytes + plan.dynamic_shared, candidate.assignment, []
    tiles = [value for name, value in assignment.items() if name.endswith("shared_bytes")]
    kept = assignment.get("kept_bytes", 0)
    if tiles and plan.dynamic_shared != max(tiles):
        faults.append(f"{plan.dynamic_shared} bytes of dynamic shared memory, {max(tiles)} were predicted")
    if not tiles and not kept <= shared <= kept + RESOURCE_SLACK_BYTES:
        faults.append(f"{shared} shared bytes, about {kept} were predicted")
    if said.registers > candidate.target.number("thread_registers"):
        faults.append(f"{said.registers} registers")
    return said.spill_bytes, "; ".join(faults)
