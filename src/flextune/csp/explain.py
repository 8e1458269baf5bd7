"""Why a problem has no solution: a minimal set of constraints that cannot hold together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from flextune.csp.compilation import Compilation, DiagramTooLargeError, Limits
from flextune.csp.constraint import Constraint
from flextune.csp.equivalence import Equivalence
from flextune.csp.network import Network, build_network, components
from flextune.csp.ordering import Ordering
from flextune.csp.problem import Problem
from flextune.csp.propagation import DomainPropagation
from flextune.csp.reformulation import reformulated
from flextune.csp.strong_propagation import StrongPropagation

_FIRST_BEAM = 256
_GROWTH = 8
_MOST_CANDIDATES = 100_000_000


@dataclass(frozen=True, slots=True)
class Conflict:
    """Constraints that cannot hold together, given the domains and the definitions of the auxiliary variables.

    Minimal: without any one of them the rest can hold. Empty where there are solutions.
    """

    constraints: tuple[Constraint, ...]
    text: str

    @property
    def names(self) -> tuple[str, ...]:
        """Their names (the formula for those without)."""
        return tuple(constraint.label for constraint in self.constraints)

    def __str__(self) -> str:
        return self.text


def conflict_of(problem: Problem) -> Conflict:
    """A minimal conflict, by divide and conquer over the constraints (QuickXplain, Junker 2004)."""
    definitions = {id(definition) for definition in problem.definitions.values()}
    fixed = [c for c in problem.constraints if id(c) in definitions]
    free = [c for c in problem.constraints if id(c) not in definitions]

    def impossible(chosen: Sequence[Constraint]) -> bool:
        return not has_solution(Problem(problem.variables, (*fixed, *chosen)))

    if impossible(()):
        return _described(problem, _undefined(problem))
    if not impossible(free):
        return Conflict((), "there are solutions: nothing conflicts")
    found = _minimal((), False, tuple(free), impossible)
    return _described(problem, tuple(c for c in problem.constraints if any(c is other for other in found)))


def _minimal(
    background: tuple[Constraint, ...],
    grown: bool,
    candidates: tuple[Constraint, ...],
    impossible: Callable[[Sequence[Constraint]], bool],
) -> tuple[Constraint, ...]:
    """A minimal subset of the candidates that is impossible together with the background."""
    if grown and impossible(background):
        return ()
    if len(candidates) == 1:
        return candidates
    half = len(candidates) // 2
    first, second = candidates[:half], candidates[half:]
    from_second = _minimal((*background, *first), True, second, impossible)
    from_first = _minimal((*background, *from_second), bool(from_second), first, impossible)
    return (*from_first, *from_second)


def _undefined(problem: Problem) -> tuple[Constraint, ...]:
    """A minimal set of definitions without a common value: an index out of range, or a value past 64 bits."""
    kept = dict(problem.definitions)
    for name in reversed(list(problem.definitions)):
        without = {other: rule for other, rule in kept.items() if other != name and not _needs(kept, other, name)}
        variables = tuple(v for v in problem.variables if not v.auxiliary or v.name in without)
        if not has_solution(Problem(variables, tuple(without.values()))):
            kept = without
    return tuple(kept.values())


def _needs(definitions: Mapping[str, Constraint], name: str, other: str) -> bool:
    scope = set(definitions[name].scope) - {name}
    return other in scope or any(_needs(definitions, inner, other) for inner in scope if inner in definitions)


def _described(problem: Problem, constraints: tuple[Constraint, ...]) -> Conflict:
    lines = [f"no solution: {conflict_head(constraints)}"]
    for constraint in constraints:
        name = f"{constraint.name}: " if constraint.name else ""
        reason = f" ({constraint.reason})" if constraint.reason else ""
        rule = f" [{constraint.rule}]" if constraint.rule else ""
        lines.append(f"  {name}{constraint.formula()}{reason}{rule}")
    named = involved(problem, constraints)
    lines += [f"  with {problem.definitions[name].formula()}" for name in problem.definitions if name in named]
    lines += [f"  where {v.name} in {v.domain}" for v in problem.variables if v.domain and v.name in named]
    return Conflict(constraints, "\n".join(lines))


def conflict_head(constraints: Sequence[Constraint]) -> str:
    """`these 2 constraints cannot hold together`."""
    if len(constraints) == 1:
        return "this constraint cannot hold"
    return f"these {len(constraints)} constraints cannot hold together"


def involved(problem: Problem, constraints: Sequence[Constraint]) -> set[str]:
    """The variables that the constraints read, and those that these are computed from."""
    found: set[str] = set()
    queue = [name for constraint in constraints for name in constraint.scope]
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += problem.definitions[name].scope if name in problem.definitions else ()
    return found


def has_solution(problem: Problem, limits: Limits | None = None) -> bool:
    """Whether there is a solution: a beam search that grows until it finds one or misses nothing."""
    network = build_network(problem)
    return network.feasible and all(_possible(part, limits or Limits()) for part in components(network))


def _possible(network: Network, limits: Limits) -> bool:
    domains = _propagated(DomainPropagation(network))
    if not domains.feasible:
        return False
    with suppress(DiagramTooLargeError):
        walk = Compilation(network, domains, Equivalence(network, domains), limits, _FIRST_BEAM)
        if walk.run(network.leaves()).count:
            return True
        if not walk.thinned:
            return False
    return _possible_otherwise(reformulated(network), limits)


def _possible_otherwise(network: Network, limits: Limits) -> bool:
    """The same for a reformulated network, with more and more states."""
    domains = _propagated(StrongPropagation(network))
    if not domains.feasible:
        return False
    equivalence = Equivalence(network, domains)
    ordering = Ordering(network, domains, equivalence, by_candidates=True)
    order = ordering.improved(ordering.greedy())
    beam, tried = _FIRST_BEAM, replace(limits, candidates=_MOST_CANDIDATES)
    while beam < limits.layer_edges:
        walk = Compilation(network, domains, equivalence, tried, beam)
        if walk.run(order).count:
            return True
        if not walk.thinned:
            return False
        beam *= _GROWTH
    raise DiagramTooLargeError(
        "cannot tell whether there is a solution: the diagram of the constraints grows too large"
    )


def _propagated(domains: DomainPropagation) -> DomainPropagation:
    if domains.feasible:
        domains.propagate()
    return domains
