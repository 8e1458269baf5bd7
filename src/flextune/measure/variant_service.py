"""The worker's side of measuring schedules of a program with symbolic sizes: one kernel, checked and timed at many."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm

from flextune.aligned import aligned_copy
from flextune.analysis.sharing import cycles_to_share
from flextune.analysis.symbols import bound
from flextune.errors import FlextuneError
from flextune.measure.output_check import check_outputs, poison
from flextune.measure.services import guarded
from flextune.measure.timing import calls_per_repeat
from flextune.measure.wire import Message
from flextune.native.thread_pool import run_alone, use_own_pool
from flextune.platforms import platform_registry as platforms
from flextune.platforms.symbolic_kernels import applied
from flextune.schedule.packing import PackedInput
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.measurement import Status
from flextune.tvm_types import DeviceTensor, LoadedModule, PrimFunc
from flextune.workload.dim_expr import DimExpr
from flextune.workload.tir import from_prim_func
from flextune.workload.workload import Workload

SERVICE = "variants"
"""The name under which `flextune.measure.services` knows this service."""

MIN_REPEAT_SECS = 2e-3
_SEED = 20_240
_KEPT = 16


@dataclass(frozen=True, slots=True)
class _Kernel:
    """Compiled code, how it takes constants, and whether it is for certain sizes alone."""

    module: LoadedModule
    packs: tuple[PackedInput, ...]
    is_static: bool


class VariantService:
    """Answers requests about one program: `program` takes it, `build` a schedule of it, and `time` runs that at sizes.

    Kernels are known by the number that `build` came with; a worker that was replaced is told all again.
    """

    @staticmethod
    def preload(what: str) -> None:
        """Load the platform of this name."""
        if what:
            platforms.get(what)

    def __init__(self, options: str, cores: int) -> None:
        del options
        use_own_pool(cores)
        self._function: PrimFunc = None
        self._constants: tuple[int, ...] = ()
        self._cycles: DimExpr | None = None
        self._kernels: dict[int, _Kernel] = {}
        self._data: dict[tuple[tuple[str, int], ...], tuple[Workload, list[np.ndarray], list[np.ndarray]]] = {}
        self._actions = {"program": self._program, "build": self._build, "time": self._time}

    def answer(self, request: Message) -> dict[str, Any]:
        failure = Status.RUN_ERROR if request["action"] == "time" else Status.BUILD_ERROR
        return guarded(self._actions[request["action"]], request, failure)

    def _program(self, request: Message) -> dict[str, Any]:
        self._function = tvm.ir.load_json(request["function"])
        self._constants = tuple(request["constants"])
        self._cycles = None
        self._kernels.clear()
        self._data.clear()
        return {}

    def _build(self, request: Message) -> dict[str, Any]:
        """A kernel for all sizes; where sizes are given, one for these alone."""
        target = Target.parse(request["target"])
        platforms.get(target.kind)
        trace = Trace.from_json(request["trace"])
        is_static = "sizes" in request
        function = bound(self._function, request["sizes"]) if is_static else self._function
        try:
            program = applied(function, request["made_at"], trace, request["assignment"], self._constants, target)
        except FlextuneError as error:
            return {"status": Status.INFEASIBLE, "error": str(error)}
        module = platforms.compiler(target.kind).compile(program.module, target).jit()
        if not is_static and self._cycles is None:
            self._cycles = cycles_to_share(self._function, target)
        self._kernels[request["id"]] = _Kernel(module, program.packs, is_static)
        for oldest in list(self._kernels)[:-_KEPT]:
            del self._kernels[oldest]
        return {}

    def _time(self, request: Message) -> dict[str, Any]:
        """Seconds a call, one number for each repeat; WRONG_OUTPUT where an element is not what it must be."""
        if request["id"] not in self._kernels:
            return {"status": Status.BUILD_ERROR, "error": "this kernel is no longer there", "lost": True}
        kernel = self._kernels[request["id"]]
        workload, inputs, references = self._reference(tuple(request["sizes"].items()))
        arguments = _placed(inputs, kernel.packs)
        outputs = [
            aligned_copy(poison(each, spec.element)) for each, spec in zip(references, workload.outputs, strict=True)
        ]
        arguments += [_tensor(each) for each in outputs]
        kernel.module["main"](*arguments)
        if error := check_outputs(workload, outputs, references).error:
            return {"status": Status.WRONG_OUTPUT, "error": f"at {dict(request['sizes'])}: {error}"}
        with run_alone(not kernel.is_static and self._is_short(request["sizes"])):
            return {"run_secs": _run_secs(kernel.module, arguments, request["repeats"])}

    def _is_short(self, sizes: Mapping[str, int]) -> bool:
        """Whether models let one thread run a kernel for all sizes at these; one for them alone decides itself."""
        return self._cycles is not None and self._cycles.bind(sizes) == 0

    def _reference(self, sizes: tuple[tuple[str, int], ...]) -> tuple[Workload, list[np.ndarray], list[np.ndarray]]:
        """The program at these sizes, inputs, and what it gives for them as it is, without a schedule."""
        if sizes not in self._data:
            workload = from_prim_func(bound(self._function, dict(sizes)), "variant", self._constants)
            inputs = workload.random_inputs(_SEED)
            self._data[sizes] = workload, inputs, workload.reference(inputs)
        return self._data[sizes]


def _placed(inputs: list[np.ndarray], packs: tuple[PackedInput, ...]) -> list[DeviceTensor]:
    by_index = {pack.index: pack for pack in packs}
    placed = (by_index[index].pack(each) if index in by_index else each for index, each in enumerate(inputs))
    return [_tensor(aligned_copy(each)) for each in placed]


def _tensor(array: np.ndarray) -> DeviceTensor:
    """The array's memory; NumPy's strides of one without elements are not what kernels expect."""
    return tvm.runtime.from_dlpack(array) if array.size else tvm.runtime.empty(array.shape, str(array.dtype))


def _run_secs(module: LoadedModule, arguments: list[DeviceTensor], repeats: int) -> list[float]:
    first = module.time_evaluator("main", tvm.cpu(), number=1, repeat=2)(*arguments).results
    number = calls_per_repeat(statistics.median(first), MIN_REPEAT_SECS)
    return list(module.time_evaluator("main", tvm.cpu(), number=number, repeat=repeats)(*arguments).results)
