"""A portfolio of variable orders, tried in turn under growing limits of size: the first within its limit wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flextune.csp.compilation import Compilation, DiagramTooLargeError, Limits
from flextune.csp.diagram import Diagram
from flextune.csp.equivalence import Equivalence
from flextune.csp.network import Network
from flextune.csp.ordering import Ordering
from flextune.csp.propagation import DomainPropagation

_FIRST_BUDGET = 60_000
_GROWTH = 5


def compiled(network: Network, limits: Limits) -> Diagram | None:
    """The diagram of a network's solutions; None where there are none.

    The declared order (people write related variables side by side) races with orders found by estimate, under limits
    that grow: the result costs at most a small factor more than the best of them. `DiagramTooLargeError` when no order
    stays within the limits.
    """
    domains = DomainPropagation(network)
    if domains.feasible:
        domains.propagate()
    if not domains.feasible:
        return None
    equivalence = Equivalence(network, domains)
    ordering = Ordering(network, domains, equivalence)
    makers: list[Callable[[], Sequence[str]]] = [
        network.leaves,
        lambda: ordering.improved(ordering.greedy()),
        lambda: ordering.improved(network.leaves()),
    ]
    orders: dict[int, Sequence[str]] = {}
    budget = _FIRST_BUDGET
    while True:
        allowed = Limits(min(budget, limits.edges), min(budget, limits.layer_edges))
        for number, make in enumerate(makers):
            if number not in orders:
                orders[number] = make()
            try:
                return Compilation(network, domains, equivalence, allowed).run(orders[number])
            except DiagramTooLargeError:
                if budget >= limits.edges and number == len(makers) - 1:
                    raise
        budget *= _GROWTH
