"""The solutions next to a solution: one free choice changed, or one factor of a split moved to another variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Prod
from flextune.csp.diagram import Diagram
from flextune.csp.problem import Problem

Change = dict[str, int]


def neighbours_in(part: Diagram, problem: Problem, assignment: Mapping[str, int]) -> dict[str, Numbers]:
    """Columns of the neighbours that differ in the variables of this part.

    A change is followed along the diagram: every other variable keeps its value where it can, and where one state
    leaves a single value that one is taken (it was no free choice).
    """
    changes = [*_single(part, assignment), *_moves(part, problem, assignment)]
    position = {name: index for index, name in enumerate(part.names)}
    base = np.array([assignment[name] for name in part.names], dtype=np.int64)
    wanted = np.tile(base, (len(changes), 1))
    forced = np.zeros(wanted.shape, dtype=bool)
    for row, change in enumerate(changes):
        for name, value in change.items():
            wanted[row, position[name]] = value
            forced[row, position[name]] = True
    found = part.followed(wanted, forced)
    found = np.unique(found[(found != base).any(axis=1)], axis=0)
    return {name: found[:, index] for name, index in position.items()}


def _single(part: Diagram, assignment: Mapping[str, int]) -> list[Change]:
    return [
        {layer.name: int(value)}
        for layer in part.layers
        for value in layer.values[np.unique(layer.choice)]
        if value != assignment[layer.name]
    ]


def _moves(part: Diagram, problem: Problem, assignment: Mapping[str, int]) -> list[Change]:
    domains = {layer.name: set(layer.values.tolist()) for layer in part.layers}
    moves: dict[tuple[tuple[str, int], ...], Change] = {}
    for split in splits(problem):
        names = [name for name in split if name in domains]
        for source in names:
            for prime in _primes(assignment[source]):
                less = assignment[source] // prime
                for target in names:
                    more = assignment[target] * prime
                    if target != source and less in domains[source] and more in domains[target]:
                        moves.setdefault(((source, less), (target, more)), {source: less, target: more})
    return list(moves.values())


def splits(problem: Problem) -> list[tuple[str, ...]]:
    """For every product, the chosen variables it multiplies, through the products it is made of."""
    chosen = {variable.name for variable in problem.variables if not variable.auxiliary}

    def multiplied(operands: Sequence[str | int]) -> list[str]:
        found: list[str] = []
        for operand in operands:
            definition = problem.definitions.get(str(operand))
            if operand in chosen:
                found.append(str(operand))
            elif isinstance(definition, Prod):
                found += multiplied(definition.factors)
        return found

    products = (c for c in problem.constraints if isinstance(c, Prod))
    return [tuple(dict.fromkeys(multiplied(product.factors))) for product in products]


def _primes(number: int) -> list[int]:
    """The different prime factors of |number|; none for 0 and 1."""
    found: list[int] = []
    left, candidate = abs(number), 2
    while left > 1 and candidate * candidate <= left:
        if left % candidate == 0:
            found.append(candidate)
            while left % candidate == 0:
                left //= candidate
        candidate += 1
    return [*found, left] if left > 1 else found
