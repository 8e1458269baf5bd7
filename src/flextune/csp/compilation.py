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
3. `_Frame.finish`: nodes that are now complete flow into what reads them; checks with all operands known filter edges.
4. `_Frame.merged`: edges whose new states are equal get the same target; one state for each different code tuple.
Nodes from which no solution can be completed are removed at the end, bottom-up, by `Diagram`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp import arithmetic
from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Predicate
from flextune.csp.diagram import Diagram, Layer, without
from flextune.csp.equivalence import Equivalence, Ids
from flextune.csp.network import Check, Kind, Network, inputs_of
from flextune.csp.propagation import DomainPropagation, start_value
from flextune.csp.states import Codes, Register, Rows, grouped, joined
from flextune.errors import UsageError

_CHUNK = 1 << 24


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a diagram may become. The defaults keep a compilation under about 2 GB."""

    edges: int = 30_000_000
    """In all layers together."""
    layer_edges: int = 16_000_000
    """In one layer."""
    table_entries: int = 8_000_000
    """Results of one product or sum in a layer: its partial results so far times the values of the new variable."""


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
                values, valid = arithmetic.chosen(*_split(_constants(node.operands)))
                values = np.atleast_1d(values)[np.atleast_1d(valid)]
            else:
                values = np.array([node.constant])
            register = self.canonical(values, self.equivalence.final(name, values)) if values.size else None
            if register is None or (register.codes < 0).any():
                self.size = 0
                return
            self.final[name] = register
        frame = _Frame(self, np.zeros(1, dtype=np.intp))
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
        # From here on a row is an edge (old state, value of the variable); a `_Frame` holds the new states, by edge.
        absorbed = self._absorb(name, domain)
        rows, choice = self._expand(name, absorbed, len(domain))
        frame = _Frame(self, rows)
        for user, (table, values) in absorbed.items():
            old = self.partial.get(user)
            codes = table[0][choice] if old is None else table[old.codes[rows], choice]
            self._advance(user, name, Register(codes, values), frame)
        frame.fresh[name] = Register(choice.astype(np.int32), domain)
        # Propagate within the layer: what is complete enters what reads it, and complete checks filter the edges.
        finished = [user for user in absorbed if not self.remaining[user]]
        frame.choice = choice
        frame.finish([name, *finished])
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

    def _absorb(self, name: str, domain: Numbers) -> dict[str, tuple[Codes, Numbers]]:
        """For every product and sum over the variable: new code by old code and value of the variable (-1: dead)."""
        found: dict[str, tuple[Codes, Numbers]] = {}
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

    def _expand(
        self, name: str, absorbed: dict[str, tuple[Codes, Numbers]], width: int
    ) -> tuple[Rows, npt.NDArray[np.uint32]]:
        """The pairs of a state and a value of the variable that no product or sum forbids, in order."""
        masks = [(self.partial.get(user), table >= 0) for user, (table, _) in absorbed.items()]
        masks = [(register, mask) for register, mask in masks if not mask.all()]
        chunk = max(1, _CHUNK // max(1, width))
        rows: list[Rows] = []
        choices: list[npt.NDArray[np.uint32]] = []
        count = 0
        for begin in range(0, self.size, chunk):
            end = min(self.size, begin + chunk)
            alive = np.ones((end - begin, width), dtype=bool)
            for register, mask in masks:
                alive &= mask[0] if register is None else mask[register.codes[begin:end]]
            row, choice = np.nonzero(alive)
            rows.append(row + begin)
            choices.append(choice.astype(np.uint32))
            count += len(row)
            if count > self.limits.layer_edges:
                raise self.too_large(name)
        if not rows:
            return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.uint32)
        return (rows[0], choices[0]) if len(rows) == 1 else (np.concatenate(rows), np.concatenate(choices))

    def _advance(self, user: str, child: str, register: Register, frame: _Frame) -> None:
        """A child of a product or sum has come in: note its new partial (or final) result."""
        self.remaining[user] = self.remaining[user] - {child}
        if self.remaining[user]:
            frame.partial[user] = register
        else:
            self.partial.pop(user, None)
            frame.partial.pop(user, None)
            frame.fresh[user] = register


class _Frame:
    """The edges of one layer while it is built: the state each comes from, and the parts of the state that changed."""

    def __init__(self, owner: Compilation, rows: Rows) -> None:
        self.owner = owner
        self.rows = rows
        self.choice: npt.NDArray[np.uint32] | None = None
        self.fresh: dict[str, Register] = {}
        self.partial: dict[str, Register] = {}

    def finish(self, names: Sequence[str]) -> None:
        """These nodes now have values: bring them into what reads them, evaluate what is complete, repeat."""
        owner = self.owner
        queue = list(names)
        while queue:
            name = queue.pop(0)
            node = owner.network.nodes[name]
            for user in owner.domains.users[name]:
                if owner.network.nodes[user].accumulates:
                    if node.kind is not Kind.LEAF:
                        queue += self._accumulate(user, name)
                else:
                    queue += self._select(user, name)
            for check in owner.domains.checks[name]:
                self._check(check, name)

    def _final(self, name: str) -> Register:
        return self.fresh[name] if name in self.fresh else self.owner.final[name].take(self.rows)

    def _partial(self, user: str) -> Register | None:
        if user in self.partial:
            return self.partial[user]
        return self.owner.partial[user].take(self.rows) if user in self.owner.partial else None

    def _accumulate(self, user: str, child: str) -> list[str]:
        owner, node = self.owner, self.owner.network.nodes[user]
        value, old = self._final(child), self._partial(user)
        if old is None:
            old = Register(np.zeros(len(self.rows), dtype=np.int32), start_value(node))
        joint, (left, right) = joined([old, value])
        results = np.asarray(node.accumulated(left, node.contribution(child, right)))
        unique, inverse = np.unique(results, return_inverse=True)
        register = owner.canonical(unique, owner.equivalence.partial(node, owner.remaining[user] - {child}, unique))
        codes = register.codes[inverse.reshape(-1)][joint]
        owner._advance(user, child, Register(codes, register.values), self)
        self._filter(codes >= 0)
        return [] if owner.remaining[user] else [user]

    def _select(self, user: str, child: str) -> list[str]:
        owner = self.owner
        owner.remaining[user] = owner.remaining[user] - {child}
        if owner.remaining[user]:
            return []
        node = owner.network.nodes[user]
        names = inputs_of(node)
        joint, columns = joined([self._final(name) for name in names])
        known = dict(zip(names, columns, strict=True))
        operands = [known[o] if isinstance(o, str) else np.array([o], dtype=np.int64) for o in node.operands]
        results, valid = arithmetic.chosen(*_split(operands))
        register = owner.canonical(results, np.where(valid, owner.equivalence.final(user, results), -1))
        codes = register.codes[joint]
        self.fresh[user] = Register(codes, register.values)
        self._filter(codes >= 0)
        for name in names:
            owner.pending[name] = owner.pending[name] - {user}
        return [user]

    def _check(self, check: Check, latest: str) -> None:
        """Evaluate a check once all it reads is known."""
        owner = self.owner
        if check.key not in owner.pending[latest]:
            return
        if not all(name in self.fresh or name in owner.final for name in check.scope):
            return
        sparse = isinstance(check.constraint, Predicate)
        joint, columns = joined([self._final(name) for name in check.scope], sparse=sparse)
        holds = np.broadcast_to(check.holds(columns), columns[0].shape)
        for name in check.scope:
            owner.pending[name] = owner.pending[name] - {check.key}
        if not holds.all():
            self._filter(holds[joint])

    def _filter(self, keep: npt.NDArray[np.bool_]) -> None:
        if keep.all():
            return
        self.rows = self.rows[keep]
        if self.choice is not None:
            self.choice = self.choice[keep]
        for registers in (self.fresh, self.partial):
            for name, register in registers.items():
                registers[name] = Register(register.codes[keep], register.values)

    def _reduce(self) -> None:
        """Bring the kept values down to what the selections and checks still to come can tell apart."""
        owner = self.owner
        for registers in (owner.final, self.fresh):
            for name in [name for name in registers if not owner.pending[name]]:
                del registers[name]
        for name in dict.fromkeys((*owner.final, *self.fresh)):
            home = self.fresh if name in self.fresh else owner.final
            register = home[name]
            ids = owner.equivalence.final(name, register.values, owner.pending[name])
            table = owner.canonical(register.values, ids)
            home[name] = Register(table.codes[register.codes], table.values)
            if (ids < 0).any():
                self._filter(self._final(name).codes >= 0)

    def merged(self, size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], int]:
        """Merge edges with equal new states: first edge by old state, new state by edge, number of new states.

        The owner's state becomes the new one.
        """
        self._reduce()
        owner = self.owner
        # All parts' codes as the digits of one integer (mixed radix), so that equal states are equal integers; where 64
        # bits are too few, the digits so far are numbered anew first.
        key, span = np.zeros(len(self.rows), dtype=np.int64), 1
        parts = [(owner.partial, self.partial, name) for name in dict.fromkeys((*owner.partial, *self.partial))]
        parts += [(owner.final, self.fresh, name) for name in dict.fromkeys((*owner.final, *self.fresh))]
        for old, new, name in parts:
            width = len((new if name in new else old)[name].values)
            if width > 1:
                if span * width >= 2**62:
                    unique, key = np.unique(key, return_inverse=True)
                    span = len(unique)
                key *= width
                key += new[name].codes if name in new else old[name].codes[self.rows]
                span *= width
        target, first, count = grouped(key, span)
        # The new layer's registers: those of one representative edge for each new state.
        for old, new, name in parts:
            old[name] = new[name].take(first) if name in new else old[name].take(self.rows[first])
        start = np.searchsorted(self.rows, np.arange(size + 1))  # edges stay sorted by the state they leave
        return start.astype(np.int64), target, count


def _constants(operands: Sequence[str | int]) -> list[Numbers]:
    return [np.array([operand], dtype=np.int64) for operand in operands]


def _split(operands: Sequence[Numbers]) -> tuple[Numbers, Sequence[Numbers]]:
    return operands[0], operands[1:]
