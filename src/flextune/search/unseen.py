"""What is left of a solution set: uniform draws from the assignments that were neither asked nor told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments

if TYPE_CHECKING:
    from flextune.csp.solutions import SolutionSet


def joined(parts: Sequence[Assignments]) -> Assignments:
    """One after the other; all of the same variables, at least one part."""
    names = parts[0].columns
    return Assignments({name: np.concatenate([part.columns[name] for part in parts]) for name in names})


def row_keys(assignments: Assignments, names: Sequence[str]) -> Iterator[bytes]:
    """One short key per assignment, equal for equal values."""
    rows = np.ascontiguousarray(assignments.matrix(names))
    return (row.tobytes() for row in rows)


class Unseen:
    """The members of `solutions` that have not been marked, in memory proportional to the marked ones.

    While most of the set is unmarked, a draw rejects what is marked; when a set is nearly used up it has at most twice
    as many members as marks, and is listed. Both are exactly uniform.
    """

    def __init__(self, solutions: SolutionSet) -> None:
        self._solutions = solutions
        self._names = tuple(solutions.names)
        self._marked: set[bytes] = set()

    @property
    def count(self) -> int:
        return self._solutions.count - len(self._marked)

    def __contains__(self, assignment: Assignment) -> bool:
        """Whether this member of the set is unmarked."""
        return self._key(assignment) not in self._marked

    def mark(self, assignments: Iterable[Assignment]) -> None:
        """From now on, these members of the set are not drawn."""
        marked = list(assignments)
        self._marked.update(row_keys(Assignments.of(marked, self._names), self._names) if marked else ())

    def draw(self, rng: np.random.Generator, n: int, besides: Assignments | None = None) -> Assignments:
        """`n` distinct unmarked members not in `besides`, uniformly, in random order; all of them if too few."""
        taken = set(row_keys(besides, self._names)) if besides is not None else set()
        n = min(n, self.count - len(taken))
        if 2 * (len(self._marked) + len(taken) + n) >= self._solutions.count:
            return self._draw_from_list(rng, n, taken)
        drawn = [self._solutions.sample(rng, 0)]
        while n > 0:
            batch = self._solutions.sample(rng, 2 * n + 8)
            drawn.append(batch.take(self.fresh(batch, taken)[:n]))
            taken.update(row_keys(drawn[-1], self._names))
            n -= len(drawn[-1])
        return joined(drawn)

    def fresh(self, assignments: Assignments, known: Set[bytes] = frozenset()) -> npt.NDArray[np.intp]:
        """Positions of the unmarked ones, each once, whose keys are not in `known` either."""
        found: dict[bytes, int] = {}
        for index, key in enumerate(row_keys(assignments, self._names)):
            if key not in self._marked and key not in known:
                found.setdefault(key, index)
        return np.array(list(found.values()), dtype=np.intp)

    def _draw_from_list(self, rng: np.random.Generator, n: int, taken: Set[bytes]) -> Assignments:
        listed = self._solutions.unrank_many(np.arange(self._solutions.count))
        return listed.take(rng.permutation(self.fresh(listed, taken))[:n])

    def _key(self, assignment: Assignment) -> bytes:
        return np.array([assignment[name] for name in self._names], dtype=np.int64).tobytes()
