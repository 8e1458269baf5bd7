"""What a task takes over from tasks of similar shapes: their best schedules, as nearly as its own space has them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from flextune.csp.assignment import Assignment
from flextune.csp.domain import Domain
from flextune.tuning.task_search import TaskSearch

MOST_SOURCES = 2
"""Tasks that a round takes from: the most similar ones have what is worth having."""

_SAME_VALUES = 4.0
"""The weight of a variable with the same values in both spaces (a register tile); others (cuts of an axis) have 1."""


class Transfer:
    """Hands the best schedule of each task once to each task whose space has the same variables.

    Others share what tasks have in common through their cost models (Zheng et al., OSDI 2020, section 5); among
    neighbours in a model, which differ in an extent or two, the schedule itself can be shared.
    """

    def __init__(self) -> None:
        self._given: set[tuple[str, str, Assignment]] = set()

    def hints(self, search: TaskSearch, searches: Iterable[TaskSearch]) -> list[Assignment]:
        """Members of the task's space that are not known yet, from the most similar tasks that found something."""
        domains = _domains(search)
        if not domains or not search.known:
            return []
        sources = [
            each
            for each in searches
            if each is not search and _has_found(each) and _domains(each).keys() == domains.keys()
        ]
        found: dict[Assignment, None] = {}
        for source in sorted(sources, key=lambda each: _distance(domains, _domains(each)))[:MOST_SOURCES]:
            best = source.best
            assert best is not None  # something was found
            given = (search.task.name, source.task.name, best.assignment)
            if given not in self._given:
                self._given.add(given)
                found[_nearest(search, domains, best.assignment, _domains(source))] = None
        return [assignment for assignment in found if assignment not in search.known]


def _domains(search: TaskSearch) -> dict[str, Domain]:
    """The variables that leave a choice, of a space that is searched."""
    return {v.name: v.domain for v in search.space.problem.variables if v.domain is not None}


def _has_found(search: TaskSearch) -> bool:
    """Whether the best schedule is another than the default, which every task has by itself."""
    return search.best is not None and search.best.assignment != search.space.default


def _distance(mine: Mapping[str, Domain], others: Mapping[str, Domain]) -> float:
    """By how many powers of two the largest values differ: those of cuts are the extents of the axes."""
    return sum(abs(math.log2((1 + max(mine[name].values)) / (1 + max(others[name].values)))) for name in mine)


def _nearest(
    search: TaskSearch, mine: Mapping[str, Domain], wanted: Assignment, others: Mapping[str, Domain]
) -> Assignment:
    costs = {}
    for name, domain in mine.items():
        weight = _SAME_VALUES if domain.values == others[name].values else 1.0
        distance = np.abs(np.log2(1.0 + np.array(domain.values)) - np.log2(1.0 + wanted[name]))
        costs[name] = weight * distance[None, :]
    return search.space.solutions.cheapest(costs)[0]
