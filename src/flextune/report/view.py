"""A partitioned model as plain values for people: its groups with their figures, and the graph of their calls.

The only place where reports read a `Partition`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx

from flextune.lowering.calls import is_call_tir, is_constant, results_of
from flextune.lowering.kernel_operators import described, operators_of
from flextune.lowering.regions import bodies_of, form_of, iterations_of, region_of
from flextune.plan.layouts.kernel_layouts import layouts_of_functions
from flextune.plan.partition import Partition
from flextune.workload.counting import count_flops
from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class GroupView:
    """One distinct fused group. Figures are of one call."""

    name: str
    """Of its function in the module."""
    operators: str
    """What its workload is called: the operators as one word."""
    operator_names: tuple[str, ...]
    """Its operators one by one, in program order, those left out that only change a shape."""
    count: int
    """Calls per run of the model."""
    flops: int
    """Arithmetic operations."""
    bytes: int
    """The least it reads and writes, with weights."""
    weight_bytes: int
    """Bytes of its constants."""
    outputs: tuple[str, ...]
    """Its results, as `float32[1, 64, 56, 56]`."""
    workload: Workload | None
    """None where the group falls back to a generic schedule."""
    layout: str = ""
    """Of the images of a convolution or pooling: `NHWC`, or `NCHW>NHWC` where it reads another one than it writes."""

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / max(self.bytes, 1)

    @property
    def total_flops(self) -> int:
        return self.flops * self.count

    @property
    def total_bytes(self) -> int:
        return self.bytes * self.count


@dataclass(frozen=True, slots=True)
class CallView:
    """One call of a group, or an input or output of the model, in which case `group` is None."""

    label: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class EdgeView:
    """A tensor that flows between two calls, given by their positions."""

    source: int
    target: int
    tensor: str


@dataclass(frozen=True, slots=True)
class GraphView:
    """The fused graph: distinct groups, those with most arithmetic first; calls in program order; tensors between them.

    Pure changes of shape are left out: they are views, and nothing is computed.
    """

    name: str
    groups: tuple[GroupView, ...]
    calls: tuple[CallView, ...]
    edges: tuple[EdgeView, ...]

    @property
    def flops(self) -> int:
        return sum(group.total_flops for group in self.groups)

    @property
    def bytes(self) -> int:
        return sum(group.total_bytes for group in self.groups)

    def share(self, group: GroupView) -> float:
        """The group's part of the model's arithmetic, 0..1."""
        return group.total_flops / max(self.flops, 1)


def view_of(partition: Partition) -> GraphView:
    """What there is to say about a partition."""
    reader = _Reader(partition)
    groups = {call.group for call in reader.calls if call.group is not None}
    views = [reader.group(name) for name in sorted(groups)]
    views.sort(key=lambda group: (-group.total_flops, -group.total_bytes, group.name))
    return GraphView(partition.model.name, tuple(views), tuple(reader.calls), tuple(reader.edges))


class _Reader:
    """Follows `main` binding by binding: which calls each variable's value comes from."""

    def __init__(self, partition: Partition) -> None:
        self._module = partition.module
        self._workloads = {name: task.workload for task in partition.tasks for name in task.functions}
        self._representative = {name: task.name for task in partition.tasks for name in task.functions}
        self._layouts = _layouts(partition)
        self._sites: dict[str, Any] = {}
        self._sources: dict[Any, tuple[int, ...]] = {}
        self._counts: Counter[str] = Counter()
        self.calls: list[CallView] = []
        self.edges: list[EdgeView] = []
        self._times = 1
        main = partition.module["main"]
        for spec, parameter in zip(partition.model.inputs, main.params, strict=False):
            self._sources[parameter] = (self._add(CallView(str(spec))),)
        self._read(main.body)
        for name, value in zip(partition.model.outputs, results_of(main.body), strict=False):
            self._connect([value], self._add(CallView(f"{name}: {tensor_text(value.ty)}")))

    def group(self, name: str) -> GroupView:
        call, function = self._sites[name], self._module[name]
        arguments = list(call.args[1].fields)
        outputs = _tensors(call.ty)
        weights = sum(tensor_bytes(argument.ty) for argument in arguments if is_constant(argument))
        moved = sum(tensor_bytes(ty) for argument in arguments for ty in _tensors(argument.ty))
        operators = operators_of(function)
        return GroupView(
            name=name,
            operators=described(operators),
            operator_names=operators,
            count=self._counts[name],
            flops=_flops(function, self._workloads.get(name)),
            bytes=moved + sum(map(tensor_bytes, outputs)),
            weight_bytes=weights,
            outputs=tuple(map(tensor_text, outputs)),
            workload=self._workloads.get(name),
            layout=self._layouts.get(name) or self._layouts.get(operators, ""),
        )

    def _read(self, body: Any) -> None:
        for block in body.blocks:
            for binding in block.bindings:
                self._bind(binding.var, binding.value)

    def _bind(self, variable: Any, value: Any) -> None:
        if isinstance(value, relax.If):
            for branch in (value.true_branch, value.false_branch):
                self._read(branch)
            branches = (*results_of(value.true_branch), *results_of(value.false_branch))
            self._sources[variable] = self._producers(branches)
            return
        if (region := region_of(value)) is not None:
            self._sources[variable] = self._region(region, list(value.args[1].fields))
            return
        name = value.args[0].name_hint if is_call_tir(value) else None
        if name is None or relax.analysis.has_reshape_pattern(self._module[name]):
            self._sources[variable] = self._producers(_operands(value))
            return
        shown = self._representative.get(name, name)
        self._sites.setdefault(shown, value)
        self._counts[shown] += self._times
        call = self._add(CallView(described(operators_of(self._module[name])), shown))
        self._connect(value.args[1].fields, call)
        self._sources[variable] = (call,)

    def _region(self, name: str, arguments: list[Any]) -> tuple[int, ...]:
        """Read a loop or a branch, each body once; returns what gives its results."""
        form = form_of(self._module, name)
        given = arguments[1 if form is None else form.counted + form.guarded :]
        before, results = self._times, list[Any]()
        self._times *= iterations_of(form)
        for body in bodies_of(self._module, name):
            function = self._module[body]
            parameters = list(function.params)[0 if form is None else form.numbered :]
            self._sources |= {
                parameter: self._producers([argument]) for parameter, argument in zip(parameters, given, strict=True)
            }
            self._read(function.body)
            results += results_of(function.body)
        self._times = before
        return self._producers(results)

    def _producers(self, values: Any) -> tuple[int, ...]:
        found: dict[int, None] = {}
        for value in values:
            for part in _fields(value):
                found.update(dict.fromkeys(self._sources.get(part, ()) if isinstance(part, relax.Var) else ()))
        return tuple(found)

    def _connect(self, values: Any, target: int) -> None:
        for value in values:
            tensor = tensor_text(value.ty)
            for source in self._producers([value]):
                edge = EdgeView(source, target, tensor)
                if edge not in self.edges:
                    self.edges.append(edge)

    def _add(self, call: CallView) -> int:
        self.calls.append(call)
        return len(self.calls) - 1


def _layouts(partition: Partition) -> dict[str | tuple[str, ...], str]:
    """By the names of the functions that the groups become, and by their operators where all of them have one layout.

    Kernels in bfloat16 have other names than those they were made from.
    """
    if partition.switcher is None:
        return {}
    module = partition.switcher.module(partition.choice)
    found = layouts_of_functions(module)
    of_operators: dict[tuple[str, ...], set[str]] = {}
    for name, layout in found.items():
        of_operators.setdefault(operators_of(module[name]), set()).add(layout)
    return {operators: min(each) for operators, each in of_operators.items() if len(each) == 1} | found


def tensor_text(ty: Any) -> str:
    """`float32[1, 64, 56, 56]`; several of them joined for a tuple."""
    return ", ".join(f"{part.dtype}[{', '.join(map(str, _sizes(part)))}]" for part in _tensors(ty))


def tensor_bytes(ty: Any) -> int:
    """Bytes of a tensor; 0 where its shape is not known before the run."""
    sizes = _sizes(ty)
    if not all(isinstance(size, int) for size in sizes):
        return 0
    bits = int(tvm.DataType(str(ty.dtype)).bits)
    return math.prod(map(int, sizes)) * max(bits, 8) // 8


def parameter_count(constants: dict[str, np.ndarray]) -> int:
    """Elements of floating-point constants."""
    return sum(array.size for array in constants.values() if array.dtype.kind not in "iub")


def _tensors(ty: Any) -> list[Any]:
    fields = list(ty.fields) if isinstance(ty, relax.TupleType) else [ty]
    return [field for field in fields if getattr(field, "shape", None) is not None]


def _sizes(ty: Any) -> list[int | str]:
    return [int(size) if isinstance(size, tirx.IntImm) else str(size) for size in ty.shape]


def _fields(value: Any) -> list[Any]:
    return list(value.fields) if isinstance(value, relax.Tuple) else [value]


def _operands(value: Any) -> Iterator[Any]:
    """What a binding that computes nothing of its own reads."""
    if isinstance(value, relax.TupleGetItem):
        yield value.tuple_value
    elif is_call_tir(value):
        yield from value.args[1].fields
    elif isinstance(value, tvm.ir.Call):
        yield from value.args
    else:
        yield value


def _flops(function: Any, workload: Workload | None) -> int:
    return workload.flops if workload is not None else count_flops(function)
