"""The solutions of a problem by OR-Tools' CP-SAT, as an independent witness. Needs `ortools` (a test dependency)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ortools.sat.python import cp_model

from flextune.csp.assignment import Assignment
from flextune.csp.constraint import (
    Constraint,
    Divides,
    Eq,
    In,
    Le,
    Lt,
    Ne,
    Operand,
    Prod,
    Select,
    Sum,
)
from flextune.csp.network import build_network
from flextune.csp.problem import Problem
from flextune.csp.propagation import DomainPropagation
from flextune.errors import UsageError

_WIDEST = 2**48
"""CP-SAT refuses models that could overflow, so auxiliary variables get bounds: the propagated ones, cut to this."""


class Model:
    """A problem as a CP-SAT model: the same variables, and one CP-SAT constraint (or a few) per constraint."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.model = cp_model.CpModel()
        self.variables: dict[str, cp_model.IntVar] = {}
        domains = DomainPropagation(build_network(problem, observed=problem.names))
        domains.propagate()
        for variable in problem.variables:
            if variable.domain is not None:
                domain = cp_model.Domain.from_values(variable.domain.values)
            else:
                possible = domains.of[variable.name]
                domain = cp_model.Domain(max(possible.low, -_WIDEST), min(possible.high, _WIDEST))
            self.variables[variable.name] = self.model.new_int_var_from_domain(domain, variable.name)
        for constraint in problem.constraints:
            self._add(constraint)
        if fault := self.model.validate():
            raise UsageError(f"CP-SAT refuses the model: {fault[:200]}")

    def _operand(self, operand: Operand) -> cp_model.IntVar | int:
        return self.variables[operand] if isinstance(operand, str) else operand

    def _add(self, constraint: Constraint) -> None:
        model = self.model
        if isinstance(constraint, Prod):
            model.add_multiplication_equality(self._operand(constraint.result), self._listed(constraint.factors))
        elif isinstance(constraint, Sum):
            model.add(self._operand(constraint.result) == sum(self._listed(constraint.terms)))
        elif isinstance(constraint, Select):
            options = self._listed(constraint.options)
            model.add_element(self._operand(constraint.index), options, self._operand(constraint.result))
        elif isinstance(constraint, Divides):
            model.add_modulo_equality(0, self._operand(constraint.dividend), self._operand(constraint.divisor))
        elif isinstance(constraint, In):
            allowed = cp_model.Domain.from_values(constraint.values)
            model.add_linear_expression_in_domain(self._operand(constraint.variable), allowed)
        elif isinstance(constraint, Eq | Ne | Le | Lt):
            model.add(self._comparison(constraint))
        else:
            raise UsageError(f"no CP-SAT form of {constraint.formula()}")

    def _listed(self, operands: Sequence[Operand]) -> list[cp_model.IntVar | int]:
        return [self._operand(operand) for operand in operands]

    def _comparison(self, constraint: Eq | Ne | Le | Lt) -> cp_model.BoundedLinearExpression:
        left, right = self._operand(constraint.left), self._operand(constraint.right)
        if isinstance(constraint, Eq):
            return left == right
        if isinstance(constraint, Ne):
            return left != right
        return left <= right if isinstance(constraint, Le) else left < right


class _Collector(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]
    def __init__(self, variables: dict[str, cp_model.IntVar], limit: int | None) -> None:
        super().__init__()
        self._variables = variables
        self._limit = limit
        self.found: list[Assignment] = []

    def on_solution_callback(self) -> None:
        self.found.append(Assignment({name: self.value(variable) for name, variable in self._variables.items()}))
        if self._limit is not None and len(self.found) >= self._limit:
            self.stop_search()


def enumerated(problem: Problem, limit: int | None = None) -> list[Assignment]:
    """Every solution (or the first `limit`), in CP-SAT's order."""
    model = Model(problem)
    solver = cp_model.CpSolver()
    solver.parameters.enumerate_all_solutions = True
    solver.parameters.num_workers = 1
    collector = _Collector(model.variables, limit)
    solver.solve(model.model, collector)
    return collector.found


def drawn(problem: Problem, n: int, rng: np.random.Generator) -> list[Assignment]:
    """`n` solutions, each by solving again from random hints: what a solver does for a sampler (far from uniform)."""
    model = Model(problem)
    found: list[Assignment] = []
    for _ in range(n):
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = int(rng.integers(2**31 - 1))
        solver.parameters.search_branching = cp_model.HINT_SEARCH
        model.model.clear_hints()
        for variable in problem.variables:
            if variable.domain is not None:
                hint = int(rng.choice(np.array(variable.domain.values)))
                model.model.add_hint(model.variables[variable.name], hint)
        if solver.solve(model.model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            raise UsageError("CP-SAT found no solution")
        found.append(Assignment({name: solver.value(variable) for name, variable in model.variables.items()}))
    return found
