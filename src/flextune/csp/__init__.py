"""Finite constraint problems over integers, and the exact sets of their solutions. Knows no tensors."""

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.constraint import (
    Constraint,
    Divides,
    Eq,
    In,
    Le,
    Lt,
    Ne,
    Predicate,
    Prod,
    Select,
    Sum,
    When,
)
from flextune.csp.domain import Domain, Variable
from flextune.csp.explain import Conflict
from flextune.csp.problem import Problem
from flextune.csp.problem_text import register_predicate
from flextune.csp.solutions import SolutionSet
from flextune.csp.table_constraint import Table

__all__ = [
    "Assignment",
    "Assignments",
    "Conflict",
    "Constraint",
    "Divides",
    "Domain",
    "Eq",
    "In",
    "Le",
    "Lt",
    "Ne",
    "Predicate",
    "Problem",
    "Prod",
    "Select",
    "SolutionSet",
    "Sum",
    "Table",
    "Variable",
    "When",
    "register_predicate",
]
