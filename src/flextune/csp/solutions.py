"""All solutions of a problem as one value: count, sample, enumerate, rank, restrict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from flextune.csp.arithmetic import Numbers
from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.compilation import Limits
from flextune.csp.constraint import Constraint, In, Truth
from flextune.csp.diagram import Diagram
from flextune.csp.domain import Domain, Variable
from flextune.csp.explain import Conflict, conflict_of
from flextune.csp.neighbours import neighbours_in
from flextune.csp.network import build_network, components
from flextune.csp.order_portfolio import compiled
from flextune.csp.problem import Problem, unknown_name
from flextune.csp.propagation import DomainPropagation
from flextune.csp.shortest_path import Costs, cheapest_in
from flextune.csp.table_constraint import Table, covering_table, solved_by_table
from flextune.errors import UsageError

_ENUMERATED_AT_ONCE = 4096
_COUNTED_ONE_BY_ONE = 10_000_000


def solve(problem: Problem, limits: Limits | None = None) -> SolutionSet:
    """Compile the problem; see `Problem.solve`."""
    table = covering_table(problem)
    if table is not None:
        return SolutionSet(problem, (solved_by_table(problem, table),))
    network = build_network(problem)
    parts: list[Diagram] = []
    for component in components(network) if network.feasible else ():
        part = compiled(component, limits or Limits())
        if part is None or not part.count:
            return SolutionSet(problem, None)
        parts.append(part)
    return SolutionSet(problem, tuple(parts) if network.feasible else None)


class SolutionSet:
    """Every solution of `problem`, as independent parts whose product is the set (None: no solution). Immutable."""

    def __init__(self, problem: Problem, parts: tuple[Diagram, ...] | None) -> None:
        self.problem = problem
        self.count = 0 if parts is None else math.prod(part.count for part in parts)
        self._parts = parts if parts and self.count else ()

    @classmethod
    def of_rows(cls, assignments: Assignments) -> SolutionSet:
        """Just these assignments, in the order of their values; each once. `UsageError` for none."""
        if not len(assignments):
            raise UsageError("expected at least one assignment")
        variables = (Variable(name, Domain(tuple(set(c.tolist())))) for name, c in assignments.columns.items())
        return solve(Problem(tuple(variables), (Table.of(assignments),)))

    @property
    def names(self) -> tuple[str, ...]:
        """All variables in the problem's order, auxiliary ones included."""
        return self.problem.names

    @property
    def states(self) -> int:
        """Nodes of the diagram: what it costs in memory and time, unlike the count."""
        return sum(part.states for part in self._parts)

    @property
    def edges(self) -> int:
        """Edges of the diagram."""
        return sum(part.edges for part in self._parts)

    def __repr__(self) -> str:
        return f"SolutionSet({self.count:,} solutions of {len(self.names)} variables)"

    def sample(self, rng: np.random.Generator, n: int) -> Assignments:
        """`n` solutions, independent and uniform. `UsageError` when there is none (and n > 0)."""
        self._need_solutions(n)
        return self._assembled([part.unranked(random_ranks(rng, part.count, n)) for part in self._parts], n)

    def sample_each(self, rng: np.random.Generator, restrictions: Sequence[Sequence[In]]) -> Assignments:
        """One solution of every restriction of the set, uniform and independent.

        The same as `restrict(restriction).sample(rng, 1)` for each of them, at a hundredth of the cost where there are
        many. They restrict variables with a domain. `UsageError` for a restriction that leaves no solution.
        """
        self._need_solutions(len(restrictions))
        found: list[dict[str, Numbers]] = []
        for part in self._parts:
            masks = {
                layer.name: mask
                for layer in part.layers
                if (mask := _allowed_values(layer.name, layer.values, restrictions)) is not None
            }
            columns, possible = part.sampled_each(rng, len(restrictions), masks)
            if not possible.all():
                row = restrictions[int(np.argmin(possible))]
                raise UsageError(f"no solution is left under {'; '.join(map(str, row))}")
            found.append(columns)
        return self._assembled(found, len(restrictions))

    def sample_distinct(self, rng: np.random.Generator, n: int) -> Assignments:
        """`n` different solutions in random order, every choice of `n` as likely; all of them if there are fewer."""
        if 2 * n >= self.count:
            return self.unrank_many(rng.permutation(self.count)[:n])
        picked: dict[int, None] = {}
        while len(picked) < n:
            picked.update(dict.fromkeys(random_ranks(rng, self.count, n - len(picked)).tolist()))
        return self.unrank_many(np.array(list(picked), dtype=_rank_type(self.count)))

    def enumerate(self) -> Iterator[Assignment]:
        """Every solution once, in the order of `rank`."""
        for begin in range(0, self.count, _ENUMERATED_AT_ONCE):
            end = min(self.count, begin + _ENUMERATED_AT_ONCE)
            ranks: Numbers = np.array(range(begin, end), dtype=_rank_type(self.count))
            yield from self.unrank_many(ranks)

    def __iter__(self) -> Iterator[Assignment]:
        return self.enumerate()

    def __contains__(self, assignment: object) -> bool:
        if not isinstance(assignment, Mapping) or not set(self._chosen) <= set(assignment) <= set(self.names):
            return False
        columns = {name: np.array([value], dtype=np.int64) for name, value in assignment.items()}
        return bool(self.contains_many(Assignments(columns))[0])

    def contains_many(self, assignments: Assignments) -> Truth:
        """Which of the assignments are solutions. Auxiliary variables may be left out; where given they must agree."""
        return self.problem.satisfied(assignments.columns)

    def holds_each(self, assignments: Sequence[Mapping[str, int]]) -> list[bool]:
        """Of each whether it is in the set; of many at once where all have a value for every variable."""
        if not assignments:
            return []
        try:
            rows = Assignments.of(assignments, self.names)
        except KeyError:
            return [assignment in self for assignment in assignments]
        of_more = [len(assignment) > len(self.names) for assignment in assignments]
        return list(map(bool, self.contains_many(rows) & ~np.array(of_more)))

    def completed(self, assignments: Assignments) -> Assignments:
        """Solutions of which only the variables with a domain are given, with all variables."""
        return self._assembled([{name: assignments.columns[name] for name in self._chosen}], len(assignments))

    def rank(self, assignment: Mapping[str, int]) -> int:
        """The position of a solution in `enumerate`; `UsageError` if it is none."""
        self._need_member(assignment)
        result = 0
        for part in self._parts:
            rank, _ = part.ranked({name: np.array([assignment[name]], dtype=np.int64) for name in part.names})
            result = result * part.count + int(rank[0])
        return result

    def unrank(self, rank: int) -> Assignment:
        """The solution at this position of `enumerate`."""
        return self.unrank_many(np.array([rank], dtype=_rank_type(max(self.count, abs(rank)))))[0]

    def unrank_many(self, ranks: Numbers) -> Assignments:
        """The solutions at these positions of `enumerate`; an integer array (dtype object for counts past 64 bits)."""
        ranks = np.asarray(ranks)
        if ranks.size and not (ranks.min() >= 0 and ranks.max() < self.count):
            raise UsageError(f"rank out of range: expected 0 <= rank < {self.count}, got {ranks.min()}..{ranks.max()}")
        found = []
        for part in reversed(self._parts):
            found.append(part.unranked((ranks % part.count).astype(_rank_type(part.count))))
            ranks = ranks // part.count
        return self._assembled(found, len(ranks))

    def marginal(self, name: str) -> dict[int, int]:
        """The exact number of solutions with each value of a variable; values without solutions are left out."""
        if name not in self.names:
            raise UsageError(unknown_name(name, self.names))
        if not self.count:
            return {}
        for part in self._parts:
            if name in part.names:
                others = self.count // max(1, part.count)
                return {value: count * others for value, count in part.marginal(name).items()}
        return self._auxiliary_marginal(name)

    def neighbours(self, assignment: Mapping[str, int]) -> Assignments:
        """The solutions next to a solution, each once, in a fixed order.

        They differ in one free choice (variables that are determined by the others follow), or have one prime factor
        moved from one variable of a product to another. `UsageError` if the assignment is no solution.
        """
        self._need_member(assignment)
        found: list[dict[str, Numbers]] = []
        for part in self._parts:
            columns = neighbours_in(part, self.problem, assignment)
            rows = len(next(iter(columns.values()), ()))
            if rows:
                others = {name: np.full(rows, assignment[name]) for name in self._chosen if name not in columns}
                found.append(others | columns)
        if not found:
            return self._none()
        joined = {name: np.concatenate([columns[name] for columns in found]) for name in self._chosen}
        return self._assembled([joined], len(next(iter(joined.values()))))

    def cheapest(self, costs: Mapping[str, Costs]) -> Assignments:
        """For each row of costs the solution with the least sum, exactly; the first in rank order of equal ones.

        `costs[name]` is an array of shape (rows, values of the domain) for a variable with a domain; what is left out
        costs nothing. The time grows with rows times edges of the diagram. `UsageError` when there is no solution.
        """
        rows = len(next(iter(costs.values()), ()))
        self._need_solutions(rows)
        domains = {variable.name: variable.domain for variable in self.problem.variables}
        found = []
        for part in self._parts:
            priced: dict[str, Costs] = {}
            for layer in part.layers:
                domain = domains[layer.name]
                if layer.name in costs and domain is not None:
                    priced[layer.name] = costs[layer.name][:, np.searchsorted(domain.values, layer.values)]
            found.append(cheapest_in(part, priced, rows))
        return self._assembled(found, rows)

    def explain(self) -> Conflict:
        """A minimal set of constraints that cannot hold together; an empty one where there are solutions."""
        if self.count:
            return Conflict((), f"there are {self.count:,} solutions: nothing conflicts")
        return conflict_of(self.problem)

    def restrict(self, constraints: Iterable[Constraint]) -> SolutionSet:
        """The solutions that also satisfy these constraints. Fast where each reads one chosen variable only."""
        constraints = tuple(constraints)
        problem = self.problem.with_constraints(constraints)
        if not self.count:
            return SolutionSet(problem, None)
        if any(len(c.scope) != 1 or c.scope[0] not in self._chosen for c in constraints):
            return solve(problem)
        parts = []
        for part in self._parts:
            allowed: dict[str, Truth] = {}
            for layer in part.layers:
                for constraint in constraints:
                    if constraint.scope == (layer.name,):
                        holds = constraint.holds({layer.name: layer.values})
                        allowed[layer.name] = allowed.get(layer.name, True) & holds
            parts.append(part.restricted(allowed) if allowed else part)
        return SolutionSet(problem, tuple(parts))

    @cached_property
    def _chosen(self) -> tuple[str, ...]:
        return tuple(variable.name for variable in self.problem.variables if variable.domain is not None)

    def _auxiliary_marginal(self, name: str) -> dict[int, int]:
        """As if the auxiliary variable were chosen among the values it can take, or by looking at every solution."""
        values = possible_values(self.problem, name)
        if values is not None:
            chosen = Variable(name, Domain(tuple(values.tolist())))
            variables = tuple(chosen if v.name == name else v for v in self.problem.variables)
            return solve(Problem(variables, self.problem.constraints)).marginal(name)
        if self.count > _COUNTED_ONE_BY_ONE:
            raise UsageError(f"variable {name!r} takes too many values to count each; restrict it to a range first")
        totals: Counter[int] = Counter()
        for begin in range(0, self.count, _ENUMERATED_AT_ONCE):
            ranks = np.arange(begin, min(self.count, begin + _ENUMERATED_AT_ONCE))
            totals.update(self.unrank_many(ranks).columns[name].tolist())
        return dict(sorted(totals.items()))

    def _need_member(self, assignment: Mapping[str, int]) -> None:
        if assignment not in self:
            raise UsageError(f"not a solution of this problem: {Assignment(assignment)}")

    def _need_solutions(self, n: int) -> None:
        if n and not self.count:
            raise UsageError("there is no solution to sample; explain() names the conflicting constraints")

    def _none(self) -> Assignments:
        return Assignments({name: np.zeros(0, dtype=np.int64) for name in self.names})

    def _assembled(self, parts: list[dict[str, Numbers]], n: int) -> Assignments:
        if not self.count:
            return self._none()
        chosen: dict[str, Numbers] = {}
        for columns in parts:
            chosen |= columns
        complete, _ = self.problem.computed(chosen)
        return Assignments({name: np.broadcast_to(complete[name], (n,)) for name in self.names}, n)


def _allowed_values(name: str, values: Numbers, restrictions: Sequence[Sequence[In]]) -> Truth | None:
    """Array (restrictions, values): which values of the variable each restriction allows; None if none restricts it."""
    mask: Truth | None = None
    for row, restriction in enumerate(restrictions):
        for constraint in restriction:
            if constraint.variable == name:
                mask = np.ones((len(restrictions), len(values)), dtype=bool) if mask is None else mask
                mask[row] &= np.isin(values, constraint.values)
    return mask


def possible_values(problem: Problem, name: str) -> Numbers | None:
    """The values an auxiliary variable may take (perhaps more than it does), None where they are too many."""
    network = build_network(problem, observed=(name,))
    domains = DomainPropagation(network)
    domains.propagate()
    return domains.of[name].values


def _rank_type(count: int) -> type:
    return np.int64 if count < 2**62 else object


def random_ranks(rng: np.random.Generator, count: int, n: int) -> Numbers:
    """`n` independent integers, uniform in [0, count), for counts of any size."""
    if count < 2**62:
        return rng.integers(0, max(1, count), n, dtype=np.int64)
    size = (count.bit_length() + 7) // 8
    excess = 8 * size - count.bit_length()
    found: list[int] = []
    while len(found) < n:
        data = rng.bytes(size * (n - len(found)))
        drawn = (int.from_bytes(data[i : i + size], "little") >> excess for i in range(0, len(data), size))
        found.extend(value for value in drawn if value < count)
    return np.array(found, dtype=object)
