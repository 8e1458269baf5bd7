"""A search space: a trace with open parameters and the constraint problem its parameters must satisfy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import ProgramFacts
from flextune.csp import Assignment, Constraint, Domain, Problem, SolutionSet, Variable
from flextune.csp.solutions import random_ranks
from flextune.errors import InfeasibleError
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.tvm_types import PrimFunc
from flextune.workload.workload import Workload

if TYPE_CHECKING:
    from flextune.schedule.step import Step

Columns = Mapping[str, npt.NDArray[np.int64]]
Estimate = Callable[[Columns], npt.NDArray[np.float64]]

_DEFAULT_CANDIDATES = 1 << 16


@dataclass(frozen=True, slots=True)
class VariableRole:
    """What a variable of a schedule is for. Its name is made of it, and need not be read again.

    >>> VariableRole("cache", axis="oh").name, VariableRole("at", block="pad", prefix="dense.").name
    ('cache_oh', 'dense.at_pad')
    """

    purpose: str
    """What is chosen: the extent of a tile, where something is computed, ..."""
    axis: str = ""
    """The iterator along which, where it is along one."""
    block: str = ""
    """The block of which, where it is of another one than the tile's."""
    prefix: str = ""
    """What tells the variables of this computation from those of the main one, which have none."""

    @property
    def name(self) -> str:
        return self.prefix + "_".join(filter(None, (self.purpose, self.axis, self.block)))


@dataclass(frozen=True)
class SearchSpace:
    """All schedules of a workload that the rules allow on a target."""

    workload: Workload
    """The program."""
    target: Target
    """What it is scheduled for."""
    trace: Trace
    """The steps of every member, with variables for what is searched."""
    problem: Problem
    """The variables with their domains and constraints."""
    default: Assignment
    """The member measured first."""
    rules: tuple[str, ...]
    """The rules that made the space, in order."""
    roles: tuple[VariableRole, ...] = ()
    """What its variables are for, as far as the rules have said it."""

    @cached_property
    def solutions(self) -> SolutionSet:
        """The compiled set of feasible assignments."""
        return self.problem.solve()

    @cached_property
    def estimates(self) -> tuple[Estimate, ...]:
        """How promising an assignment is, by the rules that made the space: factors, larger is better."""
        return ()

    def most_promising(self, *constraints: Constraint) -> Assignment | None:
        """The best by these estimates of the members that satisfy more constraints, as the default is of all.

        None where there is none.
        """
        solutions = self.solutions.restrict(constraints)
        return _most_promising(solutions, self.estimates) if solutions.count else None

    def promise(self, assignment: Assignment) -> float:
        """What the estimates say of a member."""
        columns = {name: np.array([number]) for name, number in assignment.items()}
        return float(np.prod([estimate(columns)[0] for estimate in self.estimates]))

    @property
    def tunable(self) -> bool:
        """Whether there is anything to choose."""
        return bool(self.problem.variables)


@dataclass
class Draft:
    """What rules append to: steps, variables and constraints, and how promising an assignment looks."""

    function: PrimFunc
    """The program, as the steps that rewrite it have left it."""
    program: ProgramFacts
    """The facts of `function`."""
    target: Target
    """What is scheduled for."""
    constants: tuple[int, ...]
    """Positions of the parameters that are known when a model is built."""
    steps: list[Step] = field(default_factory=list)
    """What the trace will be."""
    variables: list[Variable] = field(default_factory=list)
    """What is searched, and what follows from it."""
    constraints: list[Constraint] = field(default_factory=list)
    """What the variables must satisfy."""
    estimates: list[Estimate] = field(default_factory=list)
    """How promising an assignment is, multiplied: they only pick the default member and never exclude any."""
    rules: list[str] = field(default_factory=list)
    """The rules that contributed."""
    scheduled: set[str] = field(default_factory=set)
    """Blocks that a rule has taken care of."""
    roles: list[VariableRole] = field(default_factory=list)
    """What the variables are for."""

    def variable(self, role: VariableRole | str, values: Sequence[int]) -> str:
        """Add a free variable; returns its name. Text alone is its purpose, and its name."""
        return self._declare(role, Domain.of(*values))

    def derived(self, role: VariableRole | str) -> str:
        """Add an auxiliary variable that one constraint defines; returns its name."""
        return self._declare(role, None)

    def _declare(self, role: VariableRole | str, domain: Domain | None) -> str:
        role = VariableRole(role) if isinstance(role, str) else role
        self.roles.append(role)
        self.variables.append(Variable(role.name, domain))
        return role.name

    def add(self, *steps: Step) -> None:
        self.steps += steps

    def require(self, *constraints: Constraint) -> None:
        self.constraints += constraints

    def rewrite(self, function: PrimFunc, *steps: Step) -> None:
        """Add steps that turn the program into `function`; the rules after it see that one, whose facts are read."""
        program = read_program(function)
        assert program is not None
        self.add(*steps)
        self.function, self.program = function, program

    def used(self, rule: str) -> None:
        """Note that `rule` contributed."""
        if rule not in self.rules:
            self.rules.append(rule)

    def finish(self, workload: Workload) -> SearchSpace:
        """The space; raises `InfeasibleError` naming the conflict if the constraints have no solution."""
        problem = Problem(tuple(self.variables), tuple(self.constraints))
        steps = sorted(self.steps, key=lambda step: not step.rewrites)
        trace, roles = Trace(tuple(steps)), tuple(self.roles)
        return promising_space(workload, self.target, trace, problem, tuple(self.rules), self.estimates, roles)


def promising_space(
    workload: Workload,
    target: Target,
    trace: Trace,
    problem: Problem,
    rules: tuple[str, ...],
    estimates: Sequence[Estimate],
    roles: tuple[VariableRole, ...] = (),
) -> SearchSpace:
    """The space of a problem, whose default is what the estimates say is best.

    Raises `InfeasibleError` naming the conflict if the constraints have no solution.
    """
    solutions = problem.solve()
    if solutions.count == 0:
        conflict = solutions.explain()
        raise InfeasibleError(f"no schedule of {workload} satisfies: {conflict.text}", conflict.names)
    default = _most_promising(solutions, estimates)
    space = SearchSpace(workload, target, trace, problem, default, rules, roles)
    space.__dict__["solutions"] = solutions
    space.__dict__["estimates"] = tuple(estimates)
    return space


def _most_promising(solutions: SolutionSet, estimates: Sequence[Estimate]) -> Assignment:
    """The best of all solutions, or of a fixed sample of a set too large to look at each."""
    if solutions.count <= _DEFAULT_CANDIDATES:
        candidates = solutions.unrank_many(np.arange(solutions.count))
    else:
        ranks = random_ranks(np.random.default_rng(0), solutions.count, _DEFAULT_CANDIDATES)
        candidates = solutions.unrank_many(np.sort(ranks))  # in order, which is faster
    if not candidates.columns:
        return Assignment({})
    score = np.ones(len(candidates))
    for estimate in estimates:
        score = score * estimate(candidates.columns)
    return candidates[int(np.argmax(score))]
