"""Reformulation: the same solutions by other constraints, where a network as it was written gives too large a diagram.

* Predicates that are known as expressions become functions of two nodes each (`decomposition.py`): `(z // x) % y == 0`
  is decided from z // x, of which there are few values, in place of all pairs of x and z.
* `!=` between every two of some nodes becomes one set of the values taken: of k out of n values there are
  C(n, k) sets, in place of n! / (n - k)! ways to take them.
* `when a then b` becomes a sum of truth values, of which only "some hold already" is kept.

Domains are narrowed first, and strongly: fewer values make for smaller tables.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import combinations
from typing import Protocol, runtime_checkable

import numpy as np

from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Constraint, Le, Ne, Operand, Predicate, Truth, When
from flextune.csp.decomposition import Decomposition
from flextune.csp.expression import Expression
from flextune.csp.network import Check, Function, Kind, Network, Node, inputs_of
from flextune.csp.node_builder import NodeBuilder
from flextune.csp.strong_propagation import StrongPropagation

_MOST_SYMBOLS = 512


@runtime_checkable
class Decomposable(Protocol):
    """A predicate's function that may be known as an expression."""

    def decomposable(self) -> tuple[Expression, ast.expr] | None:
        """The expression and the piece of it that the predicate is; None where it is not known."""
        ...


def reformulated(network: Network) -> Network:
    """A network with the same solutions for the same leaves; not feasible where it is found to have none."""
    narrow = StrongPropagation(network)
    if narrow.feasible:
        narrow.propagate()
    if not narrow.feasible:
        return Network(dict(network.nodes), [], feasible=False)
    nodes = {node.name: _narrowed(node, narrow) for node in network.nodes.values()}
    builder = NodeBuilder(Network(nodes, [], network.feasible))
    for check in network.checks:
        _rewrite(builder, check)
    _gather_distinct(builder)
    _drop_unread(builder.network)
    return builder.network


def _narrowed(node: Node, domains: StrongPropagation) -> Node:
    return node if node.kind is not Kind.LEAF else Node(node.name, node.kind, values=domains.of[node.name].values)


def _rewrite(builder: NodeBuilder, check: Check) -> None:
    constraint = check.constraint
    if isinstance(constraint, Predicate) and isinstance(constraint.function, Decomposable):
        known = constraint.function.decomposable()
        if known is not None:
            Decomposition(known[0], builder).require(known[1])
            return
    if isinstance(constraint, When) and len(constraint.scope) > 1:
        truths: list[tuple[Operand, int]] = []
        while isinstance(constraint, When):
            truths.append((_truth(builder, constraint.condition, holds=False), 1))
            constraint = constraint.then
        truths.append((_truth(builder, constraint, holds=True), 1))
        constraint = Le(1, builder.accumulated(Kind.SUM, truths))
    builder.require(constraint)


def _truth(builder: NodeBuilder, constraint: Constraint, *, holds: bool) -> Operand:
    """A node that is 1 where the constraint holds (or does not), else 0."""
    scope = constraint.scope
    if not scope:
        return int(bool(constraint.holds({})) is holds)

    def compute(columns: Sequence[Numbers]) -> tuple[Numbers, Truth]:
        truth = constraint.holds(dict(zip(scope, columns, strict=True)))
        return np.asarray(truth == holds).astype(np.int64), np.ones((), dtype=bool)

    return builder.function(("holds", constraint.formula(), holds), scope, Function(compute, lambda _: (0, 1)))


def _gather_distinct(builder: NodeBuilder) -> None:
    """Replace the inequalities of three and more nodes that all differ from each other by one set."""
    pairs = {frozenset(check.scope): check for check in builder.network.checks if _is_inequality(check)}
    neighbours: dict[str, set[str]] = {}
    for check in pairs.values():
        one, other = check.scope
        neighbours.setdefault(one, set()).add(other)
        neighbours.setdefault(other, set()).add(one)
    left = dict(pairs)
    while left:
        clique = _clique(next(iter(left.values())).scope, neighbours, left)
        for pair in combinations(clique, 2):
            left.pop(frozenset(pair), None)
        symbols = _symbols(builder, clique)
        if len(clique) > 2 and symbols is not None:
            covered = {pairs[frozenset(pair)].key for pair in combinations(clique, 2)}
            builder.network.checks = [check for check in builder.network.checks if check.key not in covered]
            builder.distinct(clique, symbols)


def _is_inequality(check: Check) -> bool:
    return isinstance(check.constraint, Ne) and len(check.scope) == 2


def _clique(pair: Sequence[str], neighbours: dict[str, set[str]], left: dict[frozenset[str], Check]) -> tuple[str, ...]:
    """Nodes that all differ from each other, grown from two, first by those with the most pairs not yet covered."""
    found = list(pair)
    common = neighbours[pair[0]] & neighbours[pair[1]]
    while common:
        best = max(sorted(common), key=lambda name: sum(frozenset((name, other)) in left for other in found))
        found.append(best)
        common &= neighbours[best]
    return tuple(found)


def _symbols(builder: NodeBuilder, names: Sequence[str]) -> Numbers | None:
    sets = [values for name in names if (values := builder.domains.of[name].values) is not None]
    if len(sets) < len(names):
        return None
    symbols = np.unique(np.concatenate(sets))
    return symbols if len(symbols) <= _MOST_SYMBOLS else None


def _drop_unread(network: Network) -> None:
    """Leave out new nodes that nothing reads."""
    used = {name for check in network.checks for name in check.scope}
    for node in reversed(list(network.nodes.values())):
        if node.name in used or not node.name.startswith("?") or node.kind is Kind.DISTINCT:
            used.update((node.name, *inputs_of(node)))
    network.nodes = {name: node for name, node in network.nodes.items() if name in used}
