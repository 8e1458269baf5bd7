"""Spaces too large to call a predicate for every combination: some of the solutions, drawn at random, each as likely.

Everything else is counted and drawn exactly; the predicates that say nothing of how they decide are asked for what is
drawn, and what they refuse is drawn again (rejection sampling).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flextune.csp.assignment import Assignments
from flextune.csp.constraint import Constraint, Predicate
from flextune.csp.problem import Problem
from flextune.csp.python_rule import PythonRule
from flextune.csp.solutions import SolutionSet

MOST_CALLS = 10_000_000
"""Of a predicate for every combination of its variables; beyond, combinations are drawn."""

DRAWN = 1 << 15
"""Solutions that are drawn."""

_DRAWS = 1 << 20
_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True)
class Drawing:
    """A problem without those predicates, solved, and them."""

    wide: SolutionSet
    asked: tuple[Constraint, ...]

    @classmethod
    def of(cls, problem: Problem) -> Drawing | None:
        """None for a problem all of whose combinations can be looked at."""
        asked = tuple(each for each in problem.constraints if _is_opaque(problem, each))
        if not asked:
            return None
        known = set(map(id, asked))
        others = tuple(each for each in problem.constraints if id(each) not in known)
        wide = Problem(problem.variables, others).solve()
        return cls(wide, asked) if wide.count > MOST_CALLS else None

    def drawn(self, names: Sequence[str], kept: Assignments | None = None, seed: int = 0) -> SolutionSet | None:
        """Solutions as a set of their own, over the variables `names`; those in `kept` are among them.

        Always the same ones for the same problem and seed, so that a search can go on from records. None where not one
        of very many that were drawn is a solution.
        """
        rng, rows = np.random.default_rng(seed), [] if kept is None else [kept.matrix(names)]
        found = draws = 0
        while found < DRAWN and draws < _DRAWS:
            batch = self.wide.sample(rng, _AT_ONCE)
            for constraint in self.asked:
                batch = batch.take(np.flatnonzero(constraint.holds(batch.columns)))
            rows.append(batch.matrix(names))
            found, draws = found + len(batch), draws + _AT_ONCE
        matrix = np.concatenate(rows)
        if not len(matrix):
            return None
        return SolutionSet.of_rows(Assignments({name: matrix[:, place] for place, name in enumerate(names)}))


def _is_opaque(problem: Problem, constraint: Constraint) -> bool:
    """Whether it would have to be called more often than `MOST_CALLS`, because nothing is known of it."""
    if not isinstance(constraint, Predicate) or not isinstance(constraint.function, PythonRule):
        return False
    domains = {variable.name: variable.domain for variable in problem.variables}
    sizes = [len(domain.values) for name in constraint.scope if (domain := domains[name]) is not None]
    return math.prod(sizes) > MOST_CALLS and constraint.function.decomposable() is None
