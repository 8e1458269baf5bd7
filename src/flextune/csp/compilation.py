"""Compiling one component of a network into a decision diagram of its solutions, layer by layer.

The result is an exact multivalued decision diagram (MDD): a graph with one layer per variable, an edge per value, and a
path from the root to the end for every solution. It is built top-down (Bergman, Cire, van Hoeve and Hooker, "Decision
Diagrams for Optimization", 2016, chapter 3): like dynamic programming over the variables in a fixed order, where all
partial solutions with the same state share one node.

    layer of a          layer of b, for a * b <= 4 with a and b in {1, 2, 4}
    root ── a=1 ──▶ state "a*b so far 1" ── b in {1, 2, 4} ──▶ end
         ├─ a=2 ──▶ state "2"            ── b in {1, 2}    ──▶ end
         └─ a=4 ──▶ state "4"            ── b = 1          ──▶ end

What a state is. After some variables have their values, it is all that the constraints still to come can see of them:
the partial result of every unfinished product and sum, and the values that selections and checks wait for. Each part is
reduced to its class (`Equivalence`): products "so far 33" and "so far 40" are one state if all that still reads them is
`<= 64`, as both go on with 1 and end with 2. How much merges decides the size, and the order of the variables decides
how much merges (`ordering.py`).

How a layer is made (`_step`), for all states at once in NumPy columns:
1. `_absorb`: per product or sum over the new variable, a table (old code, value of the variable) -> new code. A state
   part is a `Register`: small integer codes into a table of values. Arithmetic is done once per entry of the table.
2. `_expand`: the pairs (state, value) that no table forbids are the candidate edges.
3. `Frame.finish`: nodes that are now complete flow into what reads them; checks with all operands known filter edges.
4. `Frame.merged`: edges whose new states are equal get the same target; one state for each different code tuple.
Nodes from which no solution can be completed are removed at the end, bottom-up, by `Diagram`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.arithmetic import Numbers
from flextune.csp.diagram import Diagram, Layer, without
from flextune.csp.equivalence import Equivalence, Ids
from flextune.csp.frame import Frame
from flextune.csp.network import Kind, Network, inputs_of
from flextune.csp.propagation import DomainPropagation, start_value
from flextune.csp.states import Codes, Register, Rows
from flextune.errors import UsageError

_CHUNK = 1 << 24
_TRIED_AT_ONCE = 1 << 21
_MOST_CALLS = 10_000_000

Absorbed = dict[str, tuple[Codes, Numbers]]
"""By product or sum over the new variable: a table of codes (old code, value of the variable), and their values."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a diagram may become. The defaults keep a compilation under about 2 GB."""

    edges: int = 30_000_000
    """In all layers together."""
    layer_edges: int = 16_000_000
    """In one layer."""
    table_entries: int = 8_000_000
    """Results of one product or sum in a layer: its partial results so far times the values of the new variable."""
    candidates: int | None = None
    """Pairs of a state and a value looked at, in all layers together. With it the candidates of a layer are filtered
    part by part, before the layer is laid out, and only those that are left count as edges."""


class DiagramTooLargeError(UsageError):
    """Compilation stopped because the diagram grew past its limits."""


class Compilation:
    """The walk over the variables of one component.

    With a `beam` at most so many states of a layer are kept (`thinned` says whether any was lost): the diagram then
    holds some of the solutions only (a *restricted* decision diagram).
    """

    def __init__(
        self,
        network: Network,
        domains: DomainPropagation,
        equivalence: Equivalence,
        limits: Limits,
        beam: int | None = None,
    ) -> None:
        self.beam = beam
        self.thinned = False
        self.network = network
        self.domains = domains
        self.equivalence = equivalence
        self.limits = limits
        self.size = 1  # states of the current layer; row s of every register below belongs to state s
        self.edges = 0
        self.candidates = 0
        self.calls = 0
        # The state: partial results of unfinished products and sums; final values that something still waits for;
        # and, the same for all states, what each node still lacks and who still waits for it.
        self.partial: dict[str, Register] = {}
        self.final: dict[str, Register] = {}
        self.remaining = {n.name: frozenset(inputs_of(n)) for n in network.nodes.values() if n.kind is not Kind.LEAF}
        self.pending = {name: self._waiting(name) for name in network.nodes}
        self.layers: list[Layer] = []

    def run(self, order: Sequence[str]) -> Diagram:
        """Compile along this order of the leaves."""
        self._start()
        for name in order:
            self._step(name)
        return Diagram(tuple(self.layers), self.size)

    def _waiting(self, name: str) -> frozenset[str]:
        selections = [user for user in self.domains.users[name] if not self.network.nodes[user].accumulates]
        return frozenset((*selections, *(check.key for check in self.domains.checks[name])))

    def _start(self) -> None:
        """Finish the nodes that read no variable."""
        done = [node.name for node in self.network.nodes.values() if node.kind is not Kind.LEAF and not inputs_of(node)]
        for name in done:
            node = self.network.nodes[name]
            if node.kind is Kind.SELECTION:
                values, valid = node.applied({})
                values = np.atleast_1d(values)[np.atleast_1d(valid)]
            else:
                values = np.array([node.constant])
            register = self.canonical(values, self.equivalence.final(name, values)) if values.size else None
            if register is None or (register.codes < 0).any():
                self.size = 0
                return
            self.final[name] = register
        frame = Frame(self, np.zeros(1, dtype=np.intp))
        frame.finish(done)
        self.size = frame.merged(1)[2]

    def _step(self, name: str) -> None:
        domain = self.domains.of[name].values
        assert domain is not None
        if not self.size:
            none = np.zeros(0, dtype=np.int64)
            self.layers.append(
                Layer(name, domain, np.zeros(1, np.int64), none.astype(np.uint32), none.astype(np.int32))
            )
            return
        # From here on a row is an edge (old state, value of the variable); a `Frame` holds the new states, by edge.
        absorbed = self._absorb(name, domain)
        rows, choice = self._expand(name, absorbed, domain)
        frame = self._filled(name, absorbed, domain, rows, choice)
        start, target, size = frame.merged(self.size)
        assert frame.choice is not None
        layer = Layer(name, domain, start, frame.choice, target)
        if self.beam is not None and size > self.beam:
            layer, size = self._thinned(layer, size, self.beam)
        self.layers.append(layer)
        self.size = size
        self.edges += len(target)
        if self.edges > self.limits.edges:
            raise self.too_large(name)

    def _thinned(self, layer: Layer, size: int, beam: int) -> tuple[Layer, int]:
        """Keep `beam` of the new states, drawn with a fixed seed."""
        self.thinned = True
        kept = np.sort(np.random.default_rng(size).choice(size, beam, replace=False))
        for registers in (self.partial, self.final):
            for name in registers:
                registers[name] = registers[name].take(kept)
        alive = np.zeros(size, dtype=bool)
        alive[kept] = True
        return without(layer, alive), beam

    def too_large(self, name: str) -> DiagramTooLargeError:
        done, every = len(self.layers), len(self.network.leaves())
        return DiagramTooLargeError(
            f"the solution diagram grew past {self.limits.layer_edges:,} edges in a layer"
            f" or {self.limits.edges:,} edges at variable {name!r}"
            f" ({done} of {every} variables placed, {self.size:,} states in the last layer);"
            " add bounds (Le on products and sums), use smaller domains, split predicates over many variables into"
            " Prod, Sum and Le, or raise Limits"
        )

    def _absorb(self, name: str, domain: Numbers) -> Absorbed:
        """For every product and sum over the variable: new code by old code and value of the variable (-1: dead)."""
        found: Absorbed = {}
        for user in self.domains.users[name]:
            node = self.network.nodes[user]
            if not node.accumulates:
                continue
            old = self.partial[user].values if user in self.partial else start_value(node)
            if len(old) * len(domain) > self.limits.table_entries:
                raise self.too_large(name)
            # All partial results so far times all values, then one code per class: equal futures, equal codes.
            results = node.accumulated(old[:, None], node.contribution(name, domain)[None, :]).ravel()
            unique, inverse = np.unique(results, return_inverse=True)
            register = self.canonical(unique, self.equivalence.partial(node, self.remaining[user] - {name}, unique))
            found[user] = register.codes[inverse].reshape(len(old), len(domain)), register.values
        return found

    def canonical(self, values: Numbers, ids: Ids) -> Register:
        """A table with one value per class, and the code of each given value."""
        classes, first, codes = np.unique(ids, return_index=True, return_inverse=True)
        dead = int(classes.size > 0 and classes[0] < 0)
        return Register((codes.reshape(-1) - dead).astype(np.int32), values[first[dead:]])

    def _filled(
        self, name: str, absorbed: Absorbed, domain: Numbers, rows: Rows, choice: npt.NDArray[np.uint32]
    ) -> Frame:
        """The edges with all that is known once the variable has its value; those that break a check are dropped."""
        frame = Frame(self, rows)
        for user, (table, values) in absorbed.items():
            old = self.partial.get(user)
            codes = table[0][choice] if old is None else table[old.codes[rows], choice]
            self.advance(user, name, Register(codes, values), frame)
        frame.fresh[name] = Register(choice.astype(np.int32), domain)
        # Propagate within the layer: what is complete enters what reads it, and complete checks filter the edges.
        finished = [user for user in absorbed if not self.remaining[user]]
        frame.choice = choice
        frame.finish([name, *finished])
        return frame

    def _expand(self, name: str, absorbed: Absorbed, domain: Numbers) -> tuple[Rows, npt.NDArray[np.uint32]]:
        """The pairs of a state and a value of the variable that nothing forbids, in order.

        Those are known from the tables alone, or, where candidates are counted and many, by filling them in on trial.
        """
        kept: list[tuple[Rows, npt.NDArray[np.uint32]]] = []
        count, whole = 0, self.limits.candidates is None or self.size * len(domain) <= _TRIED_AT_ONCE
        at_once = min(_CHUNK, 4 * self.limits.layer_edges) if whole else _TRIED_AT_ONCE
        for rows, choice in self._candidates(absorbed, len(domain), at_once):
            self._count_candidates(name, len(rows))
            if not whole:
                rows, choice = self._tried(name, absorbed, domain, rows, choice)
            kept.append((rows, choice))
            count += len(rows)
            if count > self.limits.layer_edges:
                raise self.too_large(name)
        if len(kept) == 1:
            return kept[0]
        every = kept or [(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.uint32))]
        return np.concatenate([rows for rows, _ in every]), np.concatenate([choice for _, choice in every])

    def _count_candidates(self, name: str, count: int) -> None:
        self.candidates += count
        if self.limits.candidates is not None and self.candidates > self.limits.candidates:
            raise self.too_large(name)

    def count_calls(self, name: str, count: int) -> None:
        """Predicates are slow: no more combinations are asked for than take some seconds."""
        self.calls += count
        if self.limits.candidates is not None and self.calls > _MOST_CALLS:
            raise self.too_large(name)

    def _candidates(
        self, absorbed: Absorbed, width: int, at_once: int
    ) -> Iterator[tuple[Rows, npt.NDArray[np.uint32]]]:
        """The pairs of a state and a value that no product or sum forbids, in order, some states at a time."""
        masks = [(self.partial.get(user), table >= 0) for user, (table, _) in absorbed.items()]
        masks = [(register, mask) for register, mask in masks if not mask.all()]
        chunk = max(1, at_once // max(1, width))
        for begin in range(0, self.size, chunk):
            end = min(self.size, begin + chunk)
            alive = np.ones((end - begin, width), dtype=bool)
            for register, mask in masks:
                alive &= mask[0] if register is None else mask[register.codes[begin:end]]
            row, choice = np.nonzero(alive)
            yield row + begin, choice.astype(np.uint32)

    def _tried(
        self, name: str, absorbed: Absorbed, domain: Numbers, rows: Rows, choice: npt.NDArray[np.uint32]
    ) -> tuple[Rows, npt.NDArray[np.uint32]]:
        """Those of the candidates that pass every check that is complete with them; the state stays as it is."""
        before = dict(self.partial), dict(self.final), dict(self.remaining), dict(self.pending)
        frame = self._filled(name, absorbed, domain, rows, choice)
        self.partial, self.final, self.remaining, self.pending = before
        assert frame.choice is not None
        return frame.rows, frame.choice

    def advance(self, user: str, child: str, register: Register, frame: Frame) -> None:
        """A child of a product or sum has come in: note its new partial (or final) result."""
        self.remaining[user] = self.remaining[user] - {child}
        if self.remaining[user]:
            frame.partial[user] = register
        else:
            self.partial.pop(user, None)
            frame.partial.pop(user, None)
            frame.fresh[user] = register
