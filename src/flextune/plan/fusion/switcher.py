"""The Fusion Switcher: the distinct groups of a model's plan, what each can be made of, and the module of a choice.

A choice is made per *kind* of group (equal computation, equal constness of inputs): the twelve equal layers of a
transformer share one decision, and so do equal layers of other models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

import tvm
import tvm_ffi
from tvm import relax

from flextune.errors import UsageError
from flextune.lowering.emit import Emitter, functions_only, outer_leaves, primitive, value_name
from flextune.lowering.estimator import Estimator
from flextune.lowering.operator_graph import OperatorGraph, is_constant
from flextune.lowering.symbolic_shapes import Sizes
from flextune.plan.alternative import PARTS, Alternative, Choice
from flextune.plan.fusion.alternatives import alternatives, emit_alternative
from flextune.plan.fusion.pattern import Group
from flextune.plan.fusion.plan import FusionGroup, FusionPlan, make_plan, parts, plan_passes
from flextune.plan.pass_list import check_passes
from flextune.registry import nearest
from flextune.tvm_types import RelaxVar

STATIC_ONLY = ("attention", "merged-products", "online", "separable", "winograd")
"""What is done without where sizes are symbolic: their kernels and slices are made for numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupKind:
    """Equal groups of a plan: one of them, how many there are, and all alternatives, the default first."""

    name: str
    group: FusionGroup
    count: int
    alternatives: tuple[Alternative, ...]

    @property
    def default(self) -> Alternative:
        """What such groups are compiled as where nothing is chosen."""
        return self.alternatives[0]

    def chosen(self, choice: Choice) -> Alternative:
        """What such groups are compiled as by a choice. UsageError for something that they cannot be."""
        wanted = choice.get(self.name, self.default)
        if wanted not in self.alternatives:
            names = ", ".join(map(str, self.alternatives))
            raise UsageError(f"{self.name} cannot be compiled as {wanted!s:.80}, but as one of {names}")
        return wanted


@dataclass(frozen=True, slots=True, eq=False)
class CandidateFunction:
    """A function, by its name in a module, that computes one alternative of a kind of group."""

    name: str
    kind: GroupKind
    alternative: Alternative


@dataclass(frozen=True, eq=False)
class FusionSwitcher:
    """A model's plan with its kinds of groups; `kind_of` has the kind of each group, in the order of the plan.

    `without` names the algorithms (or `parts`) that it does without.
    """

    plan: FusionPlan
    kinds: tuple[GroupKind, ...]
    kind_of: tuple[int, ...]
    without: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        module: tvm.IRModule,
        without: Collection[str] = (),
        estimator: Estimator | None = None,
        sizes: Sizes | None = None,
    ) -> FusionSwitcher | None:
        """The plan of a Relax module of operators, for this machine unless an estimator says for what.

        `sizes` are representative ones of its symbols, if it has any. None when its `main` branches.
        """
        graph = OperatorGraph.of(module, estimator, sizes)
        if graph is None:
            return None
        of_plan, of_groups = _split(without if graph.representative is None else (*without, *STATIC_ONLY))
        return cls._of_plan(make_plan(graph, of_plan), of_groups)

    @classmethod
    def _of_plan(cls, plan: FusionPlan, without: frozenset[str]) -> FusionSwitcher:
        graph = plan.graph
        keys = [_key(graph, group) for group in plan.groups]
        counts = Counter(keys)
        positions = {key: number for number, key in enumerate(counts)}
        first = dict(zip(reversed(keys), reversed(plan.groups), strict=True))
        kinds = tuple(
            GroupKind(
                f"group{positions[key]}",
                first[key],
                counts[key],
                alternatives(graph.for_decisions, first[key], without),
            )
            for key in counts
        )
        return cls(plan, kinds, tuple(positions[key] for key in keys), without)

    @cached_property
    def by_default(self) -> FusionSwitcher:
        """The same kernels, each a group of its own: groups that are parts as long as nothing was measured are apart.

        Layouts are chosen for these.
        """
        graph = self.plan.graph
        groups: list[FusionGroup] = []
        for group, kind in zip(self.plan.groups, self.kind_of, strict=True):
            is_parts = self.kinds[kind].default == PARTS
            groups += parts(graph.for_decisions, group) if is_parts else (group,)
        plan = FusionPlan(graph, tuple(sorted(groups, key=lambda group: group.sink)))
        return self._of_plan(plan, self.without)

    def module(self, choice: Choice) -> tvm.IRModule:
        """The model with each kind of group compiled as chosen, else as its default.

        UsageError for a kind that there is none of, and for something that it cannot be compiled as.
        """
        chosen = {kind.name: kind.chosen(choice) for kind in self.kinds}
        if unknown := sorted(choice.keys() - chosen.keys()):
            raise UsageError(f"the model has no kind of group {unknown[0]!r}: {nearest(unknown[0], tuple(chosen))}")
        graph, main = self.plan.graph, self.plan.graph.module["main"]
        builder = relax.BlockBuilder(functions_only(graph.module))
        by_sink = {group.sink: (group, kind) for group, kind in zip(self.plan.groups, self.kind_of, strict=True)}
        inside = {index for group in self.plan.groups for index in group.operators}
        with builder.function("main", list(main.params), attrs=dict(main.attrs or {})):
            with builder.dataflow():
                emitter = Emitter(graph, builder, {parameter: parameter for parameter in main.params})
                for operator in graph.operators:
                    if operator.index in by_sink:
                        group, kind = by_sink[operator.index]
                        emit_alternative(emitter, group, chosen[self.kinds[kind].name])
                    elif operator.index not in inside:
                        emitter.plain(operator.index)
                result = builder.emit_output(emitter.values.get(main.body.body, main.body.body))
            builder.emit_func_output(result)
        return builder.get()

    def candidates(
        self, wanted: Mapping[str, Collection[Alternative]]
    ) -> tuple[tvm.IRModule, tuple[CandidateFunction, ...]]:
        """One function per wanted alternative of each kind (by the kind's name).

        Constants stay constants of the function, so that what is packed or transformed at compile time is seen.
        """
        graph = self.plan.graph
        builder = relax.BlockBuilder(functions_only(graph.module))
        functions = tuple(
            CandidateFunction(f"{kind.name}_{alternative}", kind, alternative)
            for kind in self.kinds
            for alternative in kind.alternatives
            if alternative in wanted.get(kind.name, ())
        )
        for function in functions:
            self._candidate(builder, function)
        return builder.get(), functions

    def exchanged(self, kind: GroupKind) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names, in `module`, of what the candidates of a kind take as parameters, and of their results."""
        operators = self.plan.graph.operators
        names = {operator.variable: value_name(operator) for operator in operators}
        inputs = tuple(names.get(leaf, str(leaf.name)) for leaf in self._outer(kind))
        return inputs, tuple(value_name(operators[index]) for index in kind.group.results)

    def _outer(self, kind: GroupKind) -> list[RelaxVar]:
        operators = [self.plan.graph.operators[index] for index in kind.group.operators]
        return [leaf for leaf in outer_leaves(operators) if not is_constant(leaf)]

    def _candidate(self, builder: relax.BlockBuilder, function: CandidateFunction) -> None:
        graph, kind = self.plan.graph, function.kind
        values = {leaf: relax.Var(f"x{number}", leaf.ty) for number, leaf in enumerate(self._outer(kind))}
        with builder.function(function.name, list(values.values())):
            with builder.dataflow():
                emitter = Emitter(graph, builder, dict(values))
                emit_alternative(emitter, kind.group, function.alternative)
                results = [emitter.values[graph.operators[index].variable] for index in kind.group.results]
                result = builder.emit_output(results[0] if len(results) == 1 else relax.Tuple(results))
            builder.emit_func_output(result)


def _split(without: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    """What a plan is made without, and what its groups cannot be. UsageError for a name of nothing."""
    check_passes(tuple(without))
    of_plan = frozenset(plan_passes())
    return of_plan.intersection(without), frozenset(without) - of_plan


def _key(graph: OperatorGraph, group: FusionGroup) -> Hashable:
    """Equal for equal computations whose constant inputs are in the same places."""
    return tuple(_kernel_key(graph, branch) for branch in group.branches or (group.operators,))


def _kernel_key(graph: OperatorGraph, indices: Group) -> Hashable:
    operators = [graph.operators[index] for index in indices]
    outer = outer_leaves(operators)
    return tvm_ffi.structural_hash(primitive(operators, outer)), tuple(is_constant(leaf) for leaf in outer)
