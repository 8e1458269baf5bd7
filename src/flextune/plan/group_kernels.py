"""The kernels of every alternative of a model's groups, as workloads: the question that measurement answers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from flextune.lowering.calls import call_sites_of, results_of
from flextune.lowering.emit import value_name
from flextune.lowering.operator_graph import OperatorGraph
from flextune.lowering.precision.precision import Precision, with_precision
from flextune.plan.alternative import FUSED, SEPARATE, Alternative
from flextune.plan.fusion.switcher import CandidateFunction, FusionSwitcher, GroupKind
from flextune.plan.partition import Partition, partition_module
from flextune.tvm_types import IRModule, RelaxVar
from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class GroupKernels:
    """A kind of group of a model, with the kernels of everything that it can be compiled as."""

    kind: str
    """Its name within the model."""
    key: str
    """Equal for equal groups of all models: that of the fused kernel, or of all separate ones of merged products."""
    operators: str
    """What is in it, in words."""
    pattern: str
    """The name of the pattern that found it."""
    count: int
    """How often it occurs in the model."""
    kernels: Mapping[Alternative, tuple[Workload, ...]]
    """The workloads of each alternative, each as often as it is called per group; the default alternative first."""

    @property
    def default(self) -> Alternative:
        """What such groups are compiled as where nothing is chosen."""
        return next(iter(self.kernels))

    def without(self, in_place: Collection[str]) -> GroupKernels:
        """The same without kernels (by workload key) that are views, as the slices of merged products mostly are."""
        if len(self.kernels) == 1:
            return self
        left = {
            alternative: tuple(workload for workload in workloads if workload.key not in in_place)
            for alternative, workloads in self.kernels.items()
        }
        return replace(self, kernels=left)


def group_kernels(partition: Partition) -> tuple[GroupKernels, ...]:
    """Every kind of group of a partition with the kernels of all of its alternatives, in the order of the plan.

    Without kinds and alternatives that have kernels which are no workloads: their time is not known beforehand.
    """
    switcher = partition.switcher
    if switcher is None:
        return ()
    wanted = {kind.name: _allowed(kind, partition.precision) for kind in switcher.kinds}
    module, candidates = switcher.candidates(wanted)
    functions = [each.name for each in candidates]
    lowered = partition.kernels.lower(module, functions)
    wide = _wide_variables(partition, switcher, lowered, candidates)
    lowered = with_precision(lowered, partition.precision, functions, wide)
    kernels: dict[str, _Kernels] = {kind.name: {} for kind in switcher.kinds}
    for each in candidates:
        kernels[each.kind.name][each.alternative] = _workloads(partition, lowered, each.name)
    found = (_group(switcher, kind, kernels[kind.name]) for kind in switcher.kinds)
    return tuple(each for each in found if each is not None)


def default_workloads(partition: Partition) -> tuple[tuple[Workload, ...], ...]:
    """The workloads of every group of a partition's plan compiled as its default, by the group's place."""
    switcher = partition.switcher
    if switcher is None:
        return ()
    module, candidates = switcher.candidates({kind.name: (kind.default,) for kind in switcher.kinds})
    functions = [each.name for each in candidates]
    lowered = with_precision(partition.kernels.lower(module, functions), partition.precision, functions)
    kinds = [_workloads(partition, lowered, function).known for function in functions]
    return tuple(kinds[kind] for kind in switcher.kind_of)


def operator_names(graph: OperatorGraph, operators: tuple[int, ...]) -> str:
    """The operators of a group in words: `conv2d + add + relu`."""
    return " + ".join(graph.operators[index].short_name for index in operators)


@dataclass(frozen=True, slots=True)
class _Workloads:
    """The kernels of one function that are workloads, and whether all of them are."""

    known: tuple[Workload, ...]
    complete: bool


_Kernels = dict[Alternative, _Workloads]


def _allowed(kind: GroupKind, precision: Precision) -> tuple[Alternative, ...]:
    """Merged products stay merged where layers are kept in float32, because these are numbers among the products."""
    return tuple(each for each in kind.alternatives if not (precision.keep and each == SEPARATE))


def _workloads(partition: Partition, lowered: IRModule, function: str) -> _Workloads:
    sites = call_sites_of(lowered, function)
    calls = Counter(site.function for site in sites)
    part = partition_module(partition.model, lowered, sites)
    of_function = {each: task.workload for task in part.tasks for each in task.functions}
    known = tuple(of_function[each] for each, count in calls.items() if each in of_function for _ in range(count))
    return _Workloads(known, not part.fallbacks)


def _group(switcher: FusionSwitcher, kind: GroupKind, kernels: _Kernels) -> GroupKernels | None:
    """None where the default, or the fused kernel, is not made of workloads."""
    identifying = kernels.get(FUSED, kernels[kind.default])
    if not all(each.complete and each.known for each in (kernels[kind.default], identifying)):
        return None
    separate = kernels.get(SEPARATE)
    return GroupKernels(
        kind=kind.name,
        key=identifying.known[0].key if separate is None else _key_of_all(separate.known),
        operators=operator_names(switcher.plan.graph, kind.group.operators),
        pattern=kind.group.pattern,
        count=kind.count,
        kernels={alternative: each.known for alternative, each in kernels.items() if each.complete},
    )


def _key_of_all(workloads: Sequence[Workload]) -> str:
    return hashlib.sha256(" ".join(sorted(each.key for each in workloads)).encode()).hexdigest()[:16]


def _wide_variables(
    partition: Partition, switcher: FusionSwitcher, lowered: IRModule, candidates: Sequence[CandidateFunction]
) -> list[RelaxVar]:
    """The parameters and results of candidates that the model exchanges as float32."""
    main, graph = partition.module["main"], switcher.plan.graph
    variables = [*main.params, *(site.variable for site in call_sites_of(partition.module, "main"))]
    names = {str(each.name) for each in variables if str(getattr(each.ty, "dtype", "")) == "float32"}
    names |= {value_name(graph.operators[index]) for index in graph.outputs}
    exchanged = {kind.name: switcher.exchanged(kind) for kind in switcher.kinds}
    found: list[RelaxVar] = []
    for candidate in candidates:
        inputs, results = exchanged[candidate.kind.name]
        function = lowered[candidate.name]
        ends = zip((*function.params, *results_of(function.body)), (*inputs, *results), strict=True)
        found += [variable for variable, name in ends if name in names]
    return found
