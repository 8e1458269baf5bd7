"""The macro-actions to start with, derived from the space: FlexAction's own were written by hand, for tensor cores.

Nothing here knows of tensors. Four kinds are read off the problem, for the four that FlexAction names:

* shapes: the ways to make a constant product of a few variables (an intrinsic's m * n * k = 4096);
* choices: each value of a variable that has few (vector widths, flags, orders);
* tilings: the low, the high and the middle third of the solutions by a variable that has many values;
* budgets: at most, or at least, the median of what is computed from the choices (bytes, counts), and at most the
  quartile; first of what the problem itself limits.

Each holds for some solutions and not for all, by its exact count.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from flextune.csp.constraint import Constraint, Eq, Le, Prod
from flextune.csp.problem import Problem
from flextune.csp.solutions import SolutionSet
from flextune.search.flexaction.action_spaces import Restrictions
from flextune.search.flexaction.macro_actions import MacroAction, one_of

FEW_VALUES = 4
"""A variable with at most so many values is a choice among them, one with more has thirds."""

_SHAPES_OF_A_PRODUCT = 16
_COMBINATIONS = 4096
_SAMPLES = 1024
_COMPILED_EDGES = 200_000
"""Edges of diagrams that budgets may compile in all: the larger a space's diagram, the fewer budgets it gets."""

Marginals = Mapping[str, Mapping[int, int]]


def starting_actions(restrictions: Restrictions, limit: int, rng: np.random.Generator) -> tuple[MacroAction, ...]:
    """Up to `limit` different actions, of the four kinds in turn; none for a space of one solution.

    `rng` draws the samples whose quantiles are the budgets.
    """
    solutions = restrictions.solutions
    marginals = {v.name: solutions.marginal(v.name) for v in solutions.problem.variables if v.domain is not None}
    kinds = (
        _shapes(solutions.problem),
        _choices(marginals),
        _tilings(marginals),
        _budgets(solutions, rng),
    )
    return tuple(itertools.islice(_in_turn([_proven(kind, restrictions) for kind in kinds]), limit))


def _proven(actions: Iterable[MacroAction], restrictions: Restrictions) -> Iterator[MacroAction]:
    return (action for action in actions if 0 < restrictions.of(action).count < restrictions.solutions.count)


def _in_turn(kinds: Sequence[Iterator[MacroAction]]) -> Iterator[MacroAction]:
    """One of each kind, then the next of each; what says the same comes once."""
    seen: set[frozenset[str]] = set()
    for action in itertools.chain.from_iterable(itertools.zip_longest(*kinds)):
        if action is not None and action.key not in seen:
            seen.add(action.key)
            yield action


def _shapes(problem: Problem) -> Iterator[MacroAction]:
    domains = {v.name: v.domain.values for v in problem.variables if v.domain is not None}
    for constraint in problem.constraints:
        if isinstance(constraint, Prod) and isinstance(constraint.result, int):
            names = [factor for factor in dict.fromkeys(constraint.factors) if isinstance(factor, str)]
            if len(names) > 1 and set(names) <= set(domains):
                yield from _shapes_of(constraint, {name: domains[name] for name in names})


def _shapes_of(product: Prod, domains: Mapping[str, Sequence[int]]) -> Iterator[MacroAction]:
    if math.prod(map(len, domains.values())) > _COMBINATIONS:
        return
    combinations = np.array(list(itertools.product(*domains.values())), dtype=np.int64)
    rows = combinations[product.holds(dict(zip(domains, combinations.T, strict=True)))]
    if len(rows) > _SHAPES_OF_A_PRODUCT:
        return
    for row in rows.tolist():
        shape = tuple(Eq(name, value) for name, value in zip(domains, row, strict=True))
        yield MacroAction(f"{product.name or 'product'} {' x '.join(domains)} = {' x '.join(map(str, row))}", shape)


def _choices(marginals: Marginals) -> Iterator[MacroAction]:
    for name, counts in marginals.items():
        if len(counts) <= FEW_VALUES:
            yield from (MacroAction(f"{name} = {value}", (Eq(name, value),)) for value in counts)


def _tilings(marginals: Marginals) -> Iterator[MacroAction]:
    for third, part in enumerate(("low", "high", "middle")):
        for name, counts in marginals.items():
            values = _thirds(counts)[third] if len(counts) > FEW_VALUES else []
            if values:
                yield MacroAction(f"{part} {name}", (_range(name, part, values),))


def _range(name: str, part: str, values: Sequence[int]) -> Constraint:
    if part == "middle":
        return one_of(name, values)
    return Le(name, values[-1]) if part == "low" else Le(values[0], name)


def _thirds(counts: Mapping[int, int]) -> tuple[list[int], list[int], list[int]]:
    """The low, high and middle values, by where the middle of a value's solutions is among all of them."""
    total, before = sum(counts.values()), 0
    low: list[int] = []
    high: list[int] = []
    middle: list[int] = []
    for value, count in sorted(counts.items()):
        centre = 6 * before + 3 * count
        (low if centre < 2 * total else high if centre > 4 * total else middle).append(value)
        before += count
    return low, high, middle


def _budgets(solutions: SolutionSet, rng: np.random.Generator) -> Iterator[MacroAction]:
    problem = solutions.problem
    limited = {c.left for c in problem.constraints if isinstance(c, Le) and isinstance(c.right, int)}
    auxiliary = [variable.name for variable in problem.variables if variable.domain is None]
    auxiliary.sort(key=lambda name: name not in limited)
    sample = solutions.sample(rng, _SAMPLES).columns if auxiliary else {}
    by_level = zip(*(_levels(name, sample[name]) for name in auxiliary), strict=True)
    affordable = _COMPILED_EDGES // max(1, solutions.edges)
    yield from itertools.islice(itertools.chain.from_iterable(by_level), affordable)


def _levels(name: str, values: npt.NDArray[np.int64]) -> tuple[MacroAction, MacroAction, MacroAction]:
    quartile, median = (int(value) for value in np.quantile(values, (0.25, 0.5), method="inverted_cdf"))
    return (
        MacroAction(f"{name} to the median", (Le(name, median),)),
        MacroAction(f"{name} from the median", (Le(median, name),)),
        MacroAction(f"{name} to the quartile", (Le(name, quartile),)),
    )
