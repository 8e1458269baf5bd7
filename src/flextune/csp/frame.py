"""The edges of one layer of a diagram while it is built, and how they flow on: see `compilation.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flextune.csp.constraint import Predicate
from flextune.csp.network import Check, Kind, inputs_of
from flextune.csp.propagation import start_value
from flextune.csp.states import Register, Rows, grouped, joined

if TYPE_CHECKING:
    from flextune.csp.compilation import Compilation


class Frame:
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
        owner.advance(user, child, Register(codes, register.values), self)
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
        results, valid = node.applied(dict(zip(names, columns, strict=True)))
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
        if sparse:
            owner.count_calls(latest, len(columns[0]))
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
