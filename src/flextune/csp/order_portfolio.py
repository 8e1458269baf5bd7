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
_FIRST_CANDIDATES = 4_000_000
_CANDIDATES_GROWTH = 8
_MOST_CANDIDATES = 100_000_000
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
    found = orders.race(budgets[:rounds])
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
    edges, candidates, budgets = min(_MOST_EDGES, limits.layer_edges), _FIRST_CANDIDATES, list[Limits]()
    while not budgets or candidates < _CANDIDATES_GROWTH * _MOST_CANDIDATES:
        budgets.append(Limits(limits.edges, edges, limits.table_entries, min(candidates, _MOST_CANDIDATES)))
        candidates *= _CANDIDATES_GROWTH
    return _Orders(other, domains).race(budgets)


class _Orders:
    """Orders of the variables of a network, made when their turn comes."""

    def __init__(self, network: Network, domains: DomainPropagation) -> None:
        self._network = network
        self._domains = domains
        self._equivalence = Equivalence(network, domains)
        ordering = Ordering(network, domains, self._equivalence, by_candidates=isinstance(domains, StrongPropagation))
        self._makers: list[Callable[[], Sequence[str]]] = [
            network.leaves,
            lambda: ordering.improved(ordering.greedy()),
            lambda: ordering.improved(network.leaves()),
        ]
        self._known: dict[int, Sequence[str]] = {}

    def race(self, budgets: Sequence[Limits]) -> Diagram | DiagramTooLargeError | None:
        """The diagram of the first order that stays within the first limits in which one does; else the last error."""
        last: DiagramTooLargeError | None = None
        for limits in budgets:
            for number, make in enumerate(self._makers):
                if number not in self._known:
                    self._known[number] = make()
                try:
                    return Compilation(self._network, self._domains, self._equivalence, limits).run(self._known[number])
                except DiagramTooLargeError as error:
                    last = error
        return last
