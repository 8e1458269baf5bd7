"""A problem as a network of values and checks: the intermediate form that propagation and compilation work on.

Nodes are values: the chosen variables (leaves), and what definitions compute from other nodes (products, sums,
selections): a directed acyclic graph. Checks are constraints over nodes that only say yes or no.

    var a, b, c; n = a * b; m = n * c; m <= 64; n divides 32    becomes

    leaves a b c     nodes n = a·b, m = n·c     checks "m <= 64", "n divides 32"

`build_network` simplifies, for states of fewer parts: a definition that nothing reads is left out; a
product used only as a factor of one other product (a sum: as a term of one other sum) is merged into it, as the order
in which factors come in is then free. `components` cuts the network into parts that share nothing: these are compiled
on their own, and their counts multiply.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from flextune.csp import arithmetic
from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Constraint, Definition, Eq, Operand, Prod, Select, Sum, Truth
from flextune.csp.domain import INT64_MAX, INT64_MIN
from flextune.csp.problem import Problem


class Kind(Enum):
    """How a value comes about."""

    LEAF = "leaf"
    PRODUCT = "product"
    SUM = "sum"
    SELECTION = "selection"
    FUNCTION = "function"
    """Any other function of a few nodes."""
    DISTINCT = "all different"
    """The set of values that its children have taken, as bits; two that are equal have no set."""


Interval = tuple[int, int]
"""The least and the largest value."""


@dataclass(frozen=True, slots=True)
class Function:
    """How a node is computed from a few others, by column."""

    compute: Callable[[Sequence[Numbers]], tuple[Numbers, Truth]]
    """From columns of its operands to its values, and where it has one (elsewhere there is no solution)."""
    bounds: Callable[[Sequence[Interval]], Interval]
    """The interval of its values, from those of its operands."""
    span: Callable[[int, Sequence[Interval]], Interval | None] | None = None
    """For an operand (by position) and the intervals of all, one outside of which its values make no difference."""


@dataclass
class Node:
    """One value of the network, and how it is computed."""

    name: str
    """The variable's, or one made for an operator inside a constraint."""
    kind: Kind
    """Leaf, product, sum or selection."""
    children: dict[str, int] = field(default_factory=dict)
    """Of a product or sum: the nodes it combines, each with how often it occurs (`a * a * b` has a: 2, b: 1)."""
    constant: int = 0
    """Of a product its constant factor, of a sum its constant term."""
    operands: tuple[Operand, ...] = ()
    """Of a selection: the index, then the options."""
    values: Numbers | None = None
    """Of a leaf: its domain."""
    bounded: bool = False
    """Whether the value must fit 64 bits (an auxiliary variable's must)."""
    function: Function | None = None
    """Of a function: how it is computed from its operands."""
    symbols: Numbers | None = None
    """Of a set of different values: all values that may be in it, sorted; bit i stands for the i-th."""

    def contribution(self, child: str, values: Numbers) -> Numbers:
        """What a child with these values brings into the product or sum (its multiplicity applied)."""
        if self.symbols is not None:
            return bits_of(self.symbols, values)
        times = self.children[child]
        if self.kind is Kind.SUM:
            return arithmetic.times(values, np.array(times, dtype=np.int64))
        result = values
        for _ in range(times - 1):
            result = arithmetic.times(result, values)
        return result

    def accumulated(self, left: Numbers, right: Numbers) -> Numbers:
        """The two partial results together."""
        if self.kind is Kind.DISTINCT:
            return np.asarray(np.where((left & right) != 0, -1, left | right))
        return arithmetic.times(left, right) if self.kind is Kind.PRODUCT else arithmetic.plus(left, right)

    @property
    def accumulates(self) -> bool:
        return self.kind in (Kind.PRODUCT, Kind.SUM, Kind.DISTINCT)

    def applied(self, known: Mapping[str, Numbers]) -> tuple[Numbers, Truth]:
        """The values of a selection or function for columns of its operands, and where there are some."""
        if self.function is not None:
            return self.function.compute([known[str(operand)] for operand in self.operands])
        columns = [known[o] if isinstance(o, str) else np.array([o], dtype=np.int64) for o in self.operands]
        return arithmetic.chosen(columns[0], columns[1:])


def bits_of(symbols: Numbers, values: Numbers) -> Numbers:
    """For each value the power of two that stands for it; Python integers where 64 bits are too few."""
    powers = np.array([1 << position for position in range(len(symbols))], dtype=object)
    return arithmetic.narrowed(powers)[np.searchsorted(symbols, values)]


@dataclass(frozen=True)
class Check:
    """A constraint that filters, with the nodes it reads."""

    key: str
    constraint: Constraint
    scope: tuple[str, ...]

    def holds(self, values: Sequence[Numbers]) -> Truth:
        """By element; `values` in the order of `scope`."""
        return self.constraint.holds(dict(zip(self.scope, values, strict=True)))


@dataclass
class Network:
    """Nodes in an order in which they can be computed, and the checks over them."""

    nodes: dict[str, Node]
    checks: list[Check]
    feasible: bool = True

    def users(self) -> dict[str, list[str]]:
        """For each node the nodes that have it as child or operand."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for child in inputs_of(node):
                found[child].append(node.name)
        return found

    def leaves(self) -> list[str]:
        return [name for name, node in self.nodes.items() if node.kind is Kind.LEAF]


def inputs_of(node: Node) -> tuple[str, ...]:
    """The names of the nodes it is computed from, each once."""
    if node.operands:
        return tuple(dict.fromkeys(operand for operand in node.operands if isinstance(operand, str)))
    return tuple(node.children)


def build_network(problem: Problem, observed: Collection[str] = ()) -> Network:
    """Lower a problem: every constraint that is no definition becomes a check, over as few values as possible.

    An `observed` auxiliary variable keeps its own node even if nothing reads it.
    """
    network = Network({}, [])
    for variable in problem.variables:
        if variable.domain is not None:
            values = np.array(variable.domain.values, dtype=np.int64)
            network.nodes[variable.name] = Node(variable.name, Kind.LEAF, values=values)
    for name, definition in problem.definitions.items():
        network.nodes[name] = _node(name, definition, bounded=True)
    defining = {id(definition) for definition in problem.definitions.values()}
    for constraint in problem.constraints:
        if id(constraint) not in defining:
            _add_check(network, constraint)
    kept = {name for check in network.checks for name in check.scope} | set(observed)
    _drop_unused(network, kept)
    _merge_nested(network, kept)
    return network


def _node(name: str, definition: Definition, *, bounded: bool) -> Node:
    if isinstance(definition, Select):
        return Node(name, Kind.SELECTION, operands=definition.inputs(), bounded=bounded)
    kind = Kind.PRODUCT if isinstance(definition, Prod) else Kind.SUM
    children: dict[str, int] = {}
    constant = 1 if kind is Kind.PRODUCT else 0
    for operand in definition.inputs():
        if isinstance(operand, str):
            children[operand] = children.get(operand, 0) + 1
        else:
            constant = constant * operand if kind is Kind.PRODUCT else constant + operand
    return Node(name, kind, children, constant, bounded=bounded)


def _add_check(network: Network, constraint: Constraint) -> None:
    if not constraint.scope:
        network.feasible = network.feasible and bool(constraint.holds({}))
    elif isinstance(constraint, Prod | Sum):
        name = f"#{len(network.nodes)}"
        network.nodes[name] = _node(name, constraint, bounded=False)
        _add_check(network, Eq(name, constraint.result))
    else:
        network.checks.append(Check(f"!{len(network.checks)}", constraint, constraint.scope))


def _drop_unused(network: Network, kept: set[str]) -> None:
    """Leave out computed values that nothing kept reads and that always exist."""
    used = set(kept)
    bounds = intervals(network)
    # Readers come after what they read: backward, all readers of a node are decided before it.
    for name in reversed(list(network.nodes)):
        node = network.nodes[name]
        if name in used or node.kind is Kind.LEAF or not _always_exists(node, bounds):
            used.update(inputs_of(node))
            used.add(name)
    network.nodes = {name: node for name, node in network.nodes.items() if name in used or node.kind is Kind.LEAF}


def _always_exists(node: Node, bounds: dict[str, tuple[int, int]]) -> bool:
    if node.kind is Kind.SELECTION:
        low, high = _interval(node.operands[0], bounds)
        return low >= 0 and high < len(node.operands) - 1
    low, high = bounds[node.name]
    return not node.bounded or (low >= INT64_MIN and high <= INT64_MAX)


def _merge_nested(network: Network, kept: set[str]) -> None:
    """Merge a product into the only product that uses it, once, if nothing else reads it; sums alike."""
    bounds = intervals(network)
    for name in list(network.nodes):
        inner, users = network.nodes[name], network.users()[name]
        if name in kept or len(users) != 1 or not inner.accumulates or not _always_exists(inner, bounds):
            continue
        outer = network.nodes[users[0]]
        if outer.kind is not inner.kind or outer.children[name] != 1:
            continue
        del outer.children[name], network.nodes[name]
        for child, times in inner.children.items():
            outer.children[child] = outer.children.get(child, 0) + times
        outer.constant = (
            outer.constant * inner.constant if outer.kind is Kind.PRODUCT else outer.constant + inner.constant
        )


def intervals(network: Network) -> dict[str, tuple[int, int]]:
    """Bounds of each node's value from the leaves' domains alone, as Python integers."""
    bounds: dict[str, tuple[int, int]] = {}
    for node in network.nodes.values():
        if node.values is not None:
            bounds[node.name] = (int(node.values[0]), int(node.values[-1]))
        elif node.kind is Kind.SELECTION:
            options = [_interval(option, bounds) for option in node.operands[1:]]
            bounds[node.name] = (min(low for low, _ in options), max(high for _, high in options))
        else:
            bounds[node.name] = _accumulated_interval(node, bounds)
    return bounds


def _interval(operand: Operand, bounds: dict[str, tuple[int, int]]) -> tuple[int, int]:
    return bounds[operand] if isinstance(operand, str) else (operand, operand)


def _accumulated_interval(node: Node, bounds: dict[str, tuple[int, int]]) -> tuple[int, int]:
    result = (node.constant, node.constant)
    for child, times in node.children.items():
        for _ in range(times):
            result = combined_interval(node.kind, result, bounds[child])
    return result


def combined_interval(kind: Kind, left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """Bounds of the product or sum of two bounded values."""
    if kind is Kind.SUM:
        return left[0] + right[0], left[1] + right[1]
    corners = [a * b for a in left for b in right]
    return min(corners), max(corners)


def components(network: Network) -> list[Network]:
    """The parts of the network that share nothing: their solutions multiply."""
    parent = {name: name for name in network.nodes}

    def root(name: str) -> str:  # union-find with path halving
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    groups = [(node.name, *inputs_of(node)) for node in network.nodes.values()]
    for first, *others in (*groups, *(check.scope for check in network.checks)):
        for other in others:
            parent[root(other)] = root(first)
    found: dict[str, Network] = {}
    for name, node in network.nodes.items():
        found.setdefault(root(name), Network({}, [])).nodes[name] = node
    for check in network.checks:
        found[root(check.scope[0])].checks.append(check)
    return list(found.values())
