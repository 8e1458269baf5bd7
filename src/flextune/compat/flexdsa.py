"""Flex-DSA's facade: a graph in, the fused graph and the code of its kernels out.

>>> optimizer = FlexDSAOptimizer(platform="cpu", without=["pooling"])
>>> optimized = optimizer.optimize(graph)          # doctest: +SKIP
>>> print(optimized.code(optimized.kernels[0], "assembly"))   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import networkx
import onnx

from flextune.apply.build import Build, Schedule, compile_model, kernel_function
from flextune.apply.executable import Executable
from flextune.compat.any_model import model_of
from flextune.errors import UsageError
from flextune.importing.model import Model
from flextune.plan.partition import Partition, partition_model
from flextune.plan.pass_list import check_passes, pass_names
from flextune.platforms import platform_registry as platforms
from flextune.registry import nearest
from flextune.report.view import GraphView, view_of
from flextune.target.detect import detect
from flextune.target.target import Target

CPU = "cpu"
ELSEWHERE = ("huawei", "nvidia", "rockchip", "qualcomm", "amd", "xilinx")
"""Platforms that Flex-DSA names and for which there is no code generation here."""


class CodeForm(StrEnum):
    """What the code of a kernel is shown as."""

    TIR = "tir"
    LLVM = "llvm"
    ASSEMBLY = "assembly"


@dataclass(frozen=True, slots=True, eq=False)
class OptimizedGraph:
    """What `FlexDSAOptimizer.optimize` gives.

    `graph` has a node for each call of a kernel and each input and output of the model, in program order, with edges
    for the tensors that flow between them (`tensor` says which). A kernel's node has the `operators` that it was fused
    from, `kernel` (its name, equal for equal computations), `flops`, `bytes`, and `origin` of its schedule.
    """

    graph: networkx.DiGraph
    build: Build
    """What runs it."""
    kernels: tuple[str, ...]
    """Names of the kernels, those with most arithmetic first."""
    _partition: Partition = field(repr=False)
    """The lowered model."""
    _schedules: Mapping[str, Schedule] = field(repr=False)
    """By kernel, where there is one."""
    _target: Target = field(repr=False)
    """What it is built for."""

    @property
    def executable(self) -> Executable:
        """The optimised graph, ready to run."""
        return self.build.executable

    def code(self, kernel: str, form: str = CodeForm.TIR) -> str:
        """The code of one kernel: its schedule as TVM's TIR, or what LLVM makes of it. UsageError for other names."""
        if kernel not in self.kernels:
            raise UsageError(f"unknown kernel {kernel!r}: {nearest(kernel, self.kernels)}")
        forms = tuple(map(str, CodeForm))
        if form not in forms:
            raise UsageError(f"unknown form of code {form!r}: {nearest(form, forms)}")
        function = kernel_function(self._partition, kernel, self._schedules, self._target)
        if form == CodeForm.TIR:
            return str(function.script())
        compiler = platforms.compiler(self._target.kind)
        library = compiler.compile(function.with_attr("global_symbol", kernel), self._target)
        return str(library.mod.inspect_source("ll" if form == CodeForm.LLVM else "asm"))


class FlexDSAOptimizer:
    """Fuses a graph, schedules its kernels and generates their code.

    `without` names passes to do without; `passes` lists them all. `schedules` (by workload key) are tuned ones to use;
    other kernels get their platform's default.
    """

    def __init__(
        self, platform: str = CPU, without: Sequence[str] = (), schedules: Mapping[str, Schedule] | None = None
    ) -> None:
        _check_platform(platform)
        check_passes(tuple(without))
        self.platform = platform
        self.without = tuple(without)
        self._schedules = dict(schedules or {})

    @property
    def passes(self) -> tuple[str, ...]:
        """Names of all passes, those that are switched off too."""
        return pass_names()

    def optimize(self, graph: networkx.DiGraph | Model | onnx.ModelProto | str | Path) -> OptimizedGraph:
        """The optimised form of a networkx graph (see `flextune.compat.networkx_graph`) or an ONNX model.

        ModelError for a graph that cannot be read.
        """
        target = detect()
        partition = partition_model(model_of(graph), self.without)
        build = compile_model(partition, self._schedules, target)
        view = view_of(partition)
        names = tuple(group.name for group in view.groups)
        return OptimizedGraph(_graph_of(view, build), build, names, partition, self._schedules, target)


def _graph_of(view: GraphView, build: Build) -> networkx.DiGraph:
    groups = {group.name: group for group in view.groups}
    origins = {task.name: str(task.origin) for task in build.tasks}
    graph = networkx.DiGraph(name=view.name, flops=view.flops, bytes=view.bytes)
    for number, call in enumerate(view.calls):
        if call.group is None:
            graph.add_node(number, kind="value", label=call.label)
            continue
        group = groups[call.group]
        graph.add_node(
            number,
            kind="kernel",
            label=call.label,
            kernel=group.name,
            operators=group.operator_names,
            flops=group.flops,
            bytes=group.bytes,
            outputs=group.outputs,
            origin=origins.get(group.name, "generic"),
        )
    for edge in view.edges:
        graph.add_edge(edge.source, edge.target, tensor=edge.tensor)
    return graph


def _check_platform(platform: str) -> None:
    if platform == CPU:
        return
    if platform in ELSEWHERE:
        raise UsageError(f"platform {platform!r} has no back end here: code is generated for {CPU!r} (x86) alone")
    raise UsageError(f"unknown platform {platform!r}: {nearest(platform, (CPU, *ELSEWHERE))}")
