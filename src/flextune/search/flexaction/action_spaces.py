"""A space under the macro-actions of a library, and exactly what each of them leaves to be measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.constraint import Constraint
from flextune.csp.solutions import SolutionSet
from flextune.search.flexaction.macro_actions import MacroAction
from flextune.search.unseen import Unseen, joined


class Restrictions:
    """A space under macro-actions. Limits on auxiliary variables compile the space anew, once for each set of them."""

    def __init__(self, solutions: SolutionSet) -> None:
        self.solutions = solutions
        self._chosen = {v.name for v in solutions.problem.variables if v.domain is not None}
        self._compiled: dict[frozenset[str], SolutionSet] = {frozenset(): solutions}

    def of(self, action: MacroAction) -> SolutionSet:
        """The solutions that satisfy the action; its count is exact."""
        auxiliary = self._auxiliary(action)
        key = _formulas(auxiliary)
        if key not in self._compiled:
            self._compiled[key] = self.solutions.restrict(auxiliary)
        return self._compiled[key].restrict([c for c in action.constraints if c.scope[0] in self._chosen])

    def is_quick(self, action: MacroAction) -> bool:
        """Whether nothing has to be compiled for it."""
        return _formulas(self._auxiliary(action)) in self._compiled

    def keep(self, actions: Iterable[MacroAction]) -> None:
        """Forget what was compiled for other actions than these."""
        needed = {frozenset[str](), *(_formulas(self._auxiliary(action)) for action in actions)}
        self._compiled = {key: each for key, each in self._compiled.items() if key in needed}

    def _auxiliary(self, action: MacroAction) -> list[Constraint]:
        return [constraint for constraint in action.constraints if constraint.scope[0] not in self._chosen]


def _formulas(constraints: Iterable[Constraint]) -> frozenset[str]:
    return frozenset(constraint.formula() for constraint in constraints)


@dataclass(frozen=True, slots=True)
class _Space:
    action: MacroAction
    count: int
    unseen: Unseen


class ActionSpaces:
    """The restricted space of each slot of a library; `None` for an empty slot."""

    def __init__(self, restrictions: Restrictions, actions: Sequence[MacroAction | None]) -> None:
        self.restrictions = restrictions
        self._names = restrictions.solutions.names
        self._marked: list[Assignment] = []
        self._rows = Assignments.of([], self._names)
        self._waiting: list[Assignment] = []
        self._slots = [None if action is None else self._space(action) for action in actions]

    def mark(self, assignments: Iterable[Assignment]) -> None:
        """From now on, these members of the space are not drawn."""
        self._waiting += assignments

    def open(self) -> npt.NDArray[np.bool_]:
        """Per slot, whether its action leaves anything unmarked."""
        self._settle()
        return np.array([space is not None and space.unseen.count > 0 for space in self._slots])

    def count(self, slot: int) -> int:
        """How many solutions satisfy the slot's action."""
        space = self._slots[slot]
        return 0 if space is None else space.count

    def draw(self, rng: np.random.Generator, slot: int, n: int, besides: Assignments) -> Assignments:
        """Up to `n` distinct unmarked solutions of an open slot's action, uniformly, none of them in `besides`."""
        self._settle()
        space = self._slots[slot]
        assert space is not None
        return space.unseen.draw(rng, n, besides.take(np.flatnonzero(space.action.holds(besides))))

    def satisfied(self, assignments: Assignments) -> npt.NDArray[np.bool_]:
        """Array (slots, assignments): whose actions the assignments satisfy."""
        none = np.zeros(len(assignments), dtype=bool)
        return np.array([none if space is None else space.action.holds(assignments) for space in self._slots])

    def put(self, slot: int, action: MacroAction) -> None:
        """The slot is this action's from now on."""
        self._settle()
        self._slots[slot] = self._space(action)

    def _space(self, action: MacroAction) -> _Space:
        solutions = self.restrictions.of(action)
        unseen = Unseen(solutions)
        unseen.mark(self._marked[index] for index in np.flatnonzero(action.holds(self._rows)))
        return _Space(action, solutions.count, unseen)

    def _settle(self) -> None:
        """Marks wait until somebody looks: one look at many of them is much quicker than many looks at one."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        rows = Assignments.of(waiting, self._names)
        for space in self._slots:
            if space is not None:
                space.unseen.mark(waiting[index] for index in np.flatnonzero(space.action.holds(rows)))
        self._marked += waiting
        self._rows = joined([self._rows, rows])
