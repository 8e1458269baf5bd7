"""What each kind of group of a model can be made of, as workloads: the question that measurement answers."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flextune.lowering.calls import call_sites_of, results_of
from flextune.lowering.emit import value_name
from flextune.lowering.operator_graph import OperatorGraph
from flextune.lowering.precision.precision import with_precision
from flextune.plan.fusion.alternatives import SEPARATE
from flextune.plan.fusion.pattern import FUSED
from flextune.plan.fusion.switcher import CandidateFunction, FusionSwitcher, GroupKind
from flextune.plan.partition import Partition, partition_module
from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class GroupOption:
    """One alternative of a group: its kernels as workloads, each as often as it is called per group.

    `untuned` counts kernels that are no workload; their time is not known before the model is built.
    """

    name: str
    workloads: tuple[Workload, ...]
    untuned: int = 0

    def without(self, in_place: Collection[str]) -> GroupOption:
        """The same without the kernels of these keys."""
        return replace(self, workloads=tuple(each for each in self.workloads if each.key not in in_place))


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """A kind of group of a model, with all that it can be computed as."""

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
    options: tuple[GroupOption, ...]
    """The default first."""

    def option(self, name: str) -> GroupOption:
        return next(option for option in self.options if option.name == name)

    def without(self, in_place: Collection[str]) -> GroupOptions:
        """The same without kernels (by workload key) that are views, as the slices of merged products mostly are."""
        if len(self.options) == 1:
            return self
        return replace(self, options=tuple(option.without(in_place) for option in self.options))


def group_options(partition: Partition) -> tuple[GroupOptions, ...]:
    """Every kind of group of a partition with all of its options, in the order of the plan."""
    switcher = partition.switcher
    if switcher is None:
        return ()
    allows = partition.precision.allows
    names = {kind.name: tuple(each.name for each in kind.alternatives if allows(each.name)) for kind in switcher.kinds}
    module, candidates = switcher.candidates(names)
    functions = [each.name for each in candidates]
    lowered = partition.kernels.lower(module, functions)
    wide = _wide_variables(partition, switcher, lowered, candidates)
    lowered = with_precision(lowered, partition.precision, functions, wide)
    options: dict[str, list[GroupOption]] = {kind.name: [] for kind in switcher.kinds}
    for each in candidates:
        options[each.kind.name].append(_option(each.alternative.name, partition, lowered, each.name))
    found = (_options(switcher, kind, tuple(options[kind.name])) for kind in switcher.kinds)
    return tuple(each for each in found if each.key)


def first_workloads(partition: Partition) -> tuple[tuple[Workload, ...], ...]:
    """The workloads of every group of a partition's plan computed as its first alternative, by the group's place."""
    switcher = partition.switcher
    if switcher is None:
        return ()
    module, candidates = switcher.candidates({kind.name: (kind.alternatives[0].name,) for kind in switcher.kinds})
    functions = [each.name for each in candidates]
    lowered = with_precision(partition.kernels.lower(module, functions), partition.precision, functions)
    kinds = [_option(function, partition, lowered, function).workloads for function in functions]
    return tuple(kinds[kind] for kind in switcher.kind_of)


def _wide_variables(
    partition: Partition, switcher: FusionSwitcher, lowered: Any, candidates: Sequence[CandidateFunction]
) -> list[Any]:
    """The parameters and results of candidates that the model exchanges as float32."""
    main, graph = partition.module["main"], switcher.plan.graph
    variables = [*main.params, *(site.variable for site in call_sites_of(partition.module, "main"))]
    names = {str(each.name) for each in variables if str(getattr(each.ty, "dtype", "")) == "float32"}
    names |= {value_name(graph.operators[index]) for index in graph.outputs}
    exchanged = {kind.name: switcher.exchanged(kind) for kind in switcher.kinds}
    found: list[Any] = []
    for candidate in candidates:
        inputs, results = exchanged[candidate.kind.name]
        function = lowered[candidate.name]
        ends = zip((*function.params, *results_of(function.body)), (*inputs, *results), strict=True)
        found += [variable for variable, name in ends if name in names]
    return found


def _options(switcher: FusionSwitcher, kind: GroupKind, options: tuple[GroupOption, ...]) -> GroupOptions:
    usable = tuple(option for option in options if not option.untuned)
    return GroupOptions(
        kind=kind.name,
        key=_key(options),
        operators=operator_names(switcher.plan.graph, kind.group.operators),
        pattern=kind.group.pattern,
        count=kind.count,
        options=usable,
    )


def _key(options: tuple[GroupOption, ...]) -> str:
    """Empty where the first option, or the fused kernel, is not made of workloads."""
    fused = next((option for option in options if option.name == FUSED), options[0])
    if any(option.untuned or not option.workloads for option in (options[0], fused)):
        return ""
    separate = next((option for option in options if option.name == SEPARATE), None)
    if separate is None:
        return fused.workloads[0].key
    return hashlib.sha256(" ".join(sorted(each.key for each in separate.workloads)).encode()).hexdigest()[:16]


def operator_names(graph: OperatorGraph, operators: tuple[int, ...]) -> str:
    """The operators of a group in words: `conv2d + add + relu`."""
    return " + ".join(re.sub(r"^.*\.", "", graph.operators[index].name) for index in operators)


def _option(name: str, partition: Partition, lowered: object, function: str) -> GroupOption:
    sites = call_sites_of(lowered, function)
    calls = Counter(site.function for site in sites)
    part = partition_module(partition.model, lowered, sites)
    of_function = {each: task.workload for task in part.tasks for each in task.functions}
    workloads = tuple(of_function[each] for each, count in calls.items() if each in of_function for _ in range(count))
    return GroupOption(name, workloads, len(part.fallbacks))
