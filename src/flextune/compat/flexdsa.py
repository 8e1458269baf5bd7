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
from flextune.compat.c_source import c_source
from flextune.compat.flexdsa_platforms import CPU, dsa_platform
from flextune.compat.group_code import GroupCode, place_group
from flextune.errors import BuildError, UsageError
from flextune.importing.model import Model
from flextune.plan.partition import Partition, partition_model
from flextune.plan.pass_list import check_passes, pass_names
from flextune.platforms import platform_registry as platforms
from flextune.registry import nearest
from flextune.report.view import GraphView, view_of
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.tvm_types import PrimFunc


class CodeForm(StrEnum):
    """What the code of a kernel is shown as."""

    TIR = "tir"
    LLVM = "llvm"
    ASSEMBLY = "assembly"
    C = "c"


@dataclass(frozen=True, slots=True, eq=False)
class OptimizedGraph:
    """What `FlexDSAOptimizer.optimize` gives.

    `graph` has a node for each call of a kernel and each input and output of the model, in program order, with edges
    for the tensors that flow between them (`tensor` says which). A kernel's node has the `operators` that it was fused
    from, `kernel` (its name, equal for equal computations), `flops`, `bytes`, `origin` of its schedule on this machine,
    and `device`: the target's text, empty where no device of the platform has a schedule for it.
    """

    graph: networkx.DiGraph
    build: Build
    """What runs it on this machine, whatever the platform: its outputs are what the devices must give."""
    groups: Mapping[str, GroupCode]
    """By kernel: the device that it is placed on, its code there, and how that was checked."""
    missing: tuple[str, ...]
    """What tools of the platform's vendor would make of the whole graph and was not made, with the reason."""
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
        """The code of one kernel on this machine (on its device: `groups`). UsageError for other names.

        That is its schedule as TVM's TIR, what LLVM makes of it, or C, which computes the same without vectors.
        """
        if kernel not in self.kernels:
            raise UsageError(f"unknown kernel {kernel!r}: {nearest(kernel, self.kernels)}")
        forms = tuple(map(str, CodeForm))
        if form not in forms:
            raise UsageError(f"unknown form of code {form!r}: {nearest(form, forms)}")
        function = kernel_function(self._partition, kernel, self._schedules, self._target)
        if form == CodeForm.TIR:
            return str(function.script())
        if form == CodeForm.C:
            return self._c(function, kernel)
        compiler = platforms.compiler(self._target.kind)
        library = compiler.compile(function.with_attr("global_symbol", kernel), self._target)
        return str(library.mod.inspect_source("ll" if form == CodeForm.LLVM else "asm"))

    def _c(self, scheduled: PrimFunc, kernel: str) -> str:
        try:
            return c_source(scheduled, kernel)
        except BuildError as error:  # instructions of the processor
            return f"// without a schedule: {error}\n{c_source(self._partition.module[kernel], kernel)}"


class FlexDSAOptimizer:
    """Fuses a graph, schedules its kernels and generates their code.

    `platform` is one of Flex-DSA's: cpu, huawei, nvidia, rockchip, qualcomm, amd, xilinx. Each group of the fused
    graph goes to the first of the platform's devices that has a schedule for it; the result says which, and why not
    to others. `without` names passes to do without; `passes` lists them all. `schedules` (by workload key) are tuned
    ones to use on the device; other kernels get their platform's default. With `check` the code of each group is
    compiled, and executed by what emulates or simulates the device, as far as there are tools; the result says what
    was not done, and why.
    """

    def __init__(
        self,
        platform: str = CPU,
        without: Sequence[str] = (),
        schedules: Mapping[str, Schedule] | None = None,
        check: bool = True,
    ) -> None:
        self._described = dsa_platform(platform)
        check_passes(tuple(without))
        self.platform = platform
        self.without = tuple(without)
        self._schedules = dict(schedules or {})
        self._is_checked = check

    @property
    def passes(self) -> tuple[str, ...]:
        """Names of all passes, those that are switched off too."""
        return pass_names()

    def optimize(self, graph: networkx.DiGraph | Model | onnx.ModelProto | str | Path) -> OptimizedGraph:
        """The optimised form of a networkx graph (see `flextune.compat.networkx_graph`) or an ONNX model.

        ModelError for a graph that cannot be read.
        """
        host, targets = detect(), self._described.targets
        partition = partition_model(model_of(graph), self.without)
        own = self._schedules if targets == (host,) else {}
        build = compile_model(partition, own, host)
        view = view_of(partition)
        codes = {
            task.name: place_group(task.name, task.workload, targets, self._schedules, self._is_checked)
            for task in partition.tasks
        }
        names = tuple(group.name for group in view.groups)
        missing = tuple(vendor.missing_step for vendor in self._described.vendors)
        return OptimizedGraph(_graph_of(view, build, codes), build, codes, missing, names, partition, own, host)


def _graph_of(view: GraphView, build: Build, codes: Mapping[str, GroupCode]) -> networkx.DiGraph:
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
            device=codes[group.name].device if group.name in codes else "",
        )
    for edge in view.edges:
        graph.add_edge(edge.source, edge.target, tensor=edge.tensor)
    return graph
