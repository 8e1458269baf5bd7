"""A portfolio of variable orders, tried in turn under growing limits of size: the first within its limit wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from flextune.csp.compilation import Compilation, DiagramTooLargeError, Limits
from flextune.csp.constraint import Ne, Predicate, When
from flextune.csp.diagram import Diagram
from flextune.csp.equivalence import Equivalence
from flextune.csp.network import Network
from flextune.csp.ordering import Ordering
from flextune.csp.propagation import DomainPropagation
from flextune.csp.reformulation import reformulated
from flextune.csp.strong_propagation import StrongPropagation

_FIRST_BUDGET = 60_000
_GROWTH = 5
_ROUNDS_AS_WRITTEN = 2
"""So often a network is tried as it was written before its reformulation is."""
_WIDE_DOMAIN = 128
_MANY_VARIABLES = 64
"""Of more it takes long to find an order: it is done for the reformulation only."""
_CANDIDATES = (1_000_000, 8_000_000, 100_000_000)
_NOT_MUCH_WORSE = 8.0
_MOST_EDGES = 12_000_000


def compiled(network: Network, limits: Limits) -> Diagram | None:
    """The diagram of a network's solutions; None where there are none.

    The declared order (people write related variables side by side) races with orders found by estimate, under limits
    that grow: the result costs at most a small factor more than the best of them. What soon grows too large as it was
    written is reformulated. `DiagramTooLargeError` when nothing stays within the limits.
    """
    domains = DomainPropagation(network)
    if domains.feasible:
        domains.propagate()
    if not domains.feasible:
        return None
    budgets = list(_budgets(limits))
    orders = _Orders(network, domains)
    rounds = _ROUNDS_AS_WRITTEN if _worth_reformulating(network) else len(budgets)
    many = rounds < len(budgets) and len(network.leaves()) > _MANY_VARIABLES
    found = orders.race(budgets[:rounds], only_declared=many)
    if not isinstance(found, Diagram) and rounds < len(budgets):
        other = _reformulation(network, limits)
        if other is None or isinstance(other, Diagram):
            return other
        found = orders.race(budgets[rounds:])
    if isinstance(found, Diagram):
        return found
    assert found is not None
    raise found


def _budgets(limits: Limits) -> Iterator[Limits]:
    budget = _FIRST_BUDGET
    while True:
        yield Limits(min(budget, limits.edges), min(budget, limits.layer_edges))
        if budget >= limits.edges:
            return
        budget *= _GROWTH


def _worth_reformulating(network: Network) -> bool:
    """Whether it could be another network then, or domains so wide that strong propagation pays."""
    rewritten = any(isinstance(check.constraint, Predicate | When | Ne) for check in network.checks)
    wide = any(node.values is not None and len(node.values) >= _WIDE_DOMAIN for node in network.nodes.values())
    return rewritten or wide


def _reformulation(network: Network, limits: Limits) -> Diagram | DiagramTooLargeError | None:
    """The diagram of the reformulated network; None where there are no solutions, an error where it is too large."""
    other = reformulated(network)
    domains = StrongPropagation(other)
    if domains.feasible:
        domains.propagate()
    if not domains.feasible:
        return None
    edges = min(_MOST_EDGES, limits.layer_edges)
    return _Orders(other, domains).race_by_estimate(
        [Limits(limits.edges, edges, limits.table_entries, candidates) for candidates in _CANDIDATES]
    )


class _Orders:
    """Orders of the variables of a network, made when their turn comes."""

    def __init__(self, network: Network, domains: DomainPropagation) -> None:
        self._network = network
        self._domains = domains
        self._equivalence = Equivalence(network, domains)
        ordering = Ordering(network, domains, self._equivalence, by_candidates=isinstance(domains, StrongPropagation))
        self._cost = ordering.cost
        self._makers: list[Callable[[], Sequence[str]]] = [
            network.leaves,
            lambda: ordering.improved(ordering.greedy()),
            lambda: ordering.improved(network.leaves()),
        ]
        self._known: dict[int, Sequence[str]] = {}

    def race(self, budgets: Sequence[Limits], *, only_declared: bool = False) -> Diagram | DiagramTooLargeError | None:
        """The diagram of the first order that stays within the first limits in which one does; else the last error."""
        last: Diagram | DiagramTooLargeError | None = None
        for limits in budgets:
            for number in range(1 if only_declared else len(self._makers)):
                last = self._tried(self._order(number), limits)
                if isinstance(last, Diagram):
                    return last
        return last

    def race_by_estimate(self, budgets: Sequence[Limits]) -> Diagram | DiagramTooLargeError:
        """The declared order within the first limits, then those that look best; others are not worth larger ones."""
        found = self._tried(self._order(0), budgets[0])
        if isinstance(found, Diagram):
            return found
        orders = dict.fromkeys(map(tuple, map(self._order, range(len(self._makers)))))
        costs = {order: self._cost(order) for order in orders}
        best = min(costs.values())
        worth = sorted((order for order in orders if costs[order] <= _NOT_MUCH_WORSE * best), key=costs.__getitem__)
        for limits in budgets[1:]:
            for order in worth:
                found = self._tried(order, limits)
                if isinstance(found, Diagram):
                    return found
        return found

    def _order(self, number: int) -> Sequence[str]:
        if number not in self._known:
            self._known[number] = self._makers[number]()
        return self._known[number]

    def _tried(self, order: Sequence[str], limits: Limits) -> Diagram | DiagramTooLargeError:
        try:
            return Compilation(self._network, self._domains, self._equivalence, limits).run(order)
        except DiagramTooLargeError as error:
            return error
