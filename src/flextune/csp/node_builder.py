"""Adding nodes and checks to a network, each node once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Constraint, Operand
from flextune.csp.network import Check, Function, Interval, Kind, Network, Node
from flextune.csp.parameters import Value
from flextune.csp.python_arithmetic import Values
from flextune.csp.strong_propagation import GRID_LIMIT, StrongPropagation, meshed


class NodeBuilder:
    """Writes into `network`; `domains` knows what its nodes can be, new ones included."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.domains = StrongPropagation(network)
        self.identities: dict[Value, int] = {}
        """A number for every different value that is compared with values of another table."""
        self._known = {
            (node.kind, node.constant, frozenset(node.children.items())): node.name
            for node in network.nodes.values()
            if node.accumulates
        }
        self._functions: dict[tuple[object, ...], str] = {}

    def require(self, constraint: Constraint) -> None:
        """Add a check; one that reads no node is decided at once."""
        if constraint.scope:
            self.network.checks.append(Check(f"?{len(self.network.checks)}", constraint, constraint.scope))
        else:
            self.network.feasible = self.network.feasible and bool(constraint.holds({}))

    def accumulated(self, kind: Kind, operands: Sequence[tuple[Operand, int]]) -> Operand:
        """The product or sum of operands, each so many times: a node, or a number where all are numbers."""
        product = kind is Kind.PRODUCT
        constant, children = (1 if product else 0), dict[str, int]()
        for operand, times in operands:
            inner = self._terms(kind, operand) if times == 1 else ({str(operand): 1}, int(product))
            if isinstance(operand, int):
                inner = {}, operand
            for child, count in inner[0].items():
                children[child] = children.get(child, 0) + count * times
            part = inner[1] ** times if product else inner[1] * times
            constant = constant * part if product else constant + part
        if not children or (product and constant == 0):
            return constant
        if list(children.values()) == [1] and constant == int(product):
            return next(iter(children))
        key = (kind, constant, frozenset(children.items()))
        if key not in self._known:
            self._known[key] = self._added(Node(self._name(), kind, children, constant))
        return self._known[key]

    def _terms(self, kind: Kind, operand: Operand) -> tuple[dict[str, int], int]:
        """What an operand of a product (sum) is the product (sum) of, so that their order is free."""
        node = self.network.nodes[operand] if isinstance(operand, str) else None
        if node is not None and node.kind is kind and not node.bounded:
            return node.children, node.constant
        return {str(operand): 1}, int(kind is Kind.PRODUCT)

    def function(self, key: tuple[object, ...], operands: tuple[str, ...], function: Function) -> str:
        """A node for the function of these nodes; the same one for the same key."""
        if key not in self._functions:
            node = Node(self._name(), Kind.FUNCTION, operands=operands, function=function)
            self._functions[key] = self._added(node)
        return self._functions[key]

    def distinct(self, children: Sequence[str], symbols: Numbers) -> None:
        """Let these nodes, whose values are among the symbols, all be different."""
        self._added(Node(self._name(), Kind.DISTINCT, dict.fromkeys(children, 1), symbols=symbols))

    def sampled(self, nodes: Sequence[str], evaluated: Callable[[Sequence[Numbers]], Values]) -> Values | None:
        """The function's values for every combination of what the nodes can be; None where these are too many."""
        sets = [self.domains.of[name].values for name in nodes]
        known = [values for values in sets if values is not None]
        if len(known) < len(sets) or math.prod(len(values) for values in known) > GRID_LIMIT:
            return None
        found = evaluated(meshed(known))
        shape = tuple(len(values) for values in known)
        return Values(np.broadcast_to(found.array, shape), np.broadcast_to(found.defined, shape), found.kind)

    def interval(self, operand: Operand) -> Interval:
        """The bounds of what an operand can be."""
        if isinstance(operand, int):
            return operand, operand
        return self.domains.of[operand].low, self.domains.of[operand].high

    def _added(self, node: Node) -> str:
        self.network.nodes[node.name] = node
        self.domains.of[node.name] = self.domains.computed(node)
        return node.name

    def _name(self) -> str:
        return f"?{len(self.network.nodes)}"
