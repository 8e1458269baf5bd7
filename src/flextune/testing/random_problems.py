"""Random small problems over all constraint kinds, and their solutions by brute force."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from hypothesis import strategies as st

from flextune.csp import (
    Constraint,
    Divides,
    Domain,
    Eq,
    In,
    Le,
    Lt,
    Ne,
    Predicate,
    Problem,
    Prod,
    Select,
    Sum,
    Table,
    Variable,
    When,
    register_predicate,
)
from flextune.csp.domain import INT64_MAX, INT64_MIN
from flextune.errors import UsageError


def odd_total(**values: int) -> bool:
    return sum(values.values()) % 2 == 1


def mixed(**values: int) -> bool:
    return sum((position + 2) * value * value for position, value in enumerate(values.values())) % 3 != 0


register_predicate("odd_total", odd_total)
register_predicate("mixed", mixed)

_small = st.integers(-3, 9)
_domain_values = st.one_of(
    st.integers(1, 12), st.integers(-4, 12), st.sampled_from([16, 32, 64, 2**31, 2**40, -(2**33), INT64_MAX, INT64_MIN])
)


@st.composite
def constraints(draw: st.DrawFn, names: list[str], depth: int = 0) -> Constraint:
    operand = st.one_of(st.sampled_from(names), st.sampled_from(names), _small, st.sampled_from([12, 24, 48, 2**62]))
    many = st.lists(operand, min_size=0 if depth else 1, max_size=4).map(tuple)
    kinds = ["prod", "sum", "eq", "ne", "le", "lt", "in", "select", "divides", "predicate", "table"] + (
        ["when"] if depth < 2 else []
    )
    kind = draw(st.sampled_from(kinds))
    if kind == "prod":
        return Prod(draw(operand), draw(many))
    if kind == "sum":
        return Sum(draw(operand), draw(many))
    if kind == "select":
        return Select(draw(operand), draw(operand), draw(st.lists(operand, min_size=1, max_size=3).map(tuple)))
    if kind == "in":
        return In(draw(st.sampled_from(names)), tuple(draw(st.lists(st.integers(-4, 24), max_size=8))))
    if kind == "predicate":
        function = draw(st.sampled_from([odd_total, mixed]))
        return Predicate(tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))), function)
    if kind == "table":
        listed = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        row = st.tuples(*(st.integers(-2, 8) for _ in listed))
        return Table(tuple(listed), tuple(draw(st.lists(row, max_size=12))))
    if kind == "when":
        return When(draw(constraints(names, depth + 1)), draw(constraints(names, depth + 1)))
    comparisons: Mapping[str, type[Eq | Ne | Le | Lt | Divides]]
    comparisons = {"eq": Eq, "ne": Ne, "le": Le, "lt": Lt, "divides": Divides}
    return comparisons[kind](draw(operand), draw(operand))


@st.composite
def problems(draw: st.DrawFn, max_constraints: int = 4) -> Problem:
    chosen = [f"x{i}" for i in range(draw(st.integers(1, 4)))]
    variables = [Variable(n, Domain(tuple(draw(st.lists(_domain_values, min_size=1, max_size=6))))) for n in chosen]
    names, found = list(chosen), list[Constraint]()
    for index in range(draw(st.integers(0, 3))):
        operand = st.one_of(st.sampled_from(names), st.sampled_from(names), _small)
        operands = tuple(draw(st.lists(operand, min_size=1, max_size=4)))
        name = f"aux{index}"
        kind = draw(st.sampled_from(["prod", "prod", "sum", "select"]))
        if kind == "prod":
            found.append(Prod(name, operands))
        elif kind == "sum":
            found.append(Sum(name, operands))
        else:
            found.append(Select(name, draw(operand), operands))
        variables.append(Variable(name))
        names.append(name)
    found += draw(st.lists(constraints(names), max_size=max_constraints))
    variables, shuffled = draw(st.permutations(variables)), draw(st.permutations(found))
    try:
        return Problem(tuple(variables), tuple(shuffled))
    except UsageError:  # another statement about an auxiliary variable came first, and defines it in a cycle
        return Problem(tuple(variables), tuple(found))


def value_of(operand: str | int, row: Mapping[str, int]) -> int:
    return row[operand] if isinstance(operand, str) else operand


def result_of(rule: Constraint, row: Mapping[str, int]) -> int | None:
    """The result of a definition with Python's own integers; None where there is none."""
    if isinstance(rule, Prod):
        product = 1
        for factor in rule.factors:
            product *= value_of(factor, row)
        return product
    if isinstance(rule, Sum):
        return sum(value_of(term, row) for term in rule.terms)
    assert isinstance(rule, Select)
    index = value_of(rule.index, row)
    return value_of(rule.options[index], row) if 0 <= index < len(rule.options) else None


def holds(rule: Constraint, row: Mapping[str, int]) -> bool:
    """The documented meaning of each kind, one row at a time, written independently of the library."""
    if isinstance(rule, Prod | Sum | Select):
        return result_of(rule, row) == value_of(rule.result, row)
    if isinstance(rule, In):
        return value_of(rule.variable, row) in rule.values
    if isinstance(rule, Table):
        return tuple(row[name] for name in rule.variables) in rule.rows
    if isinstance(rule, When):
        return not holds(rule.condition, row) or holds(rule.then, row)
    if isinstance(rule, Predicate):
        return bool(rule.function(**{name: row[name] for name in rule.variables}))
    if isinstance(rule, Divides):
        divisor = value_of(rule.divisor, row)
        return divisor != 0 and value_of(rule.dividend, row) % divisor == 0
    assert isinstance(rule, Eq | Ne | Le | Lt)
    left, right = value_of(rule.left, row), value_of(rule.right, row)
    if isinstance(rule, Eq):
        return left == right
    if isinstance(rule, Ne):
        return left != right
    return left <= right if isinstance(rule, Le) else left < right


def brute_force(problem: Problem) -> list[dict[str, int]]:
    """Every solution, by trying all values."""
    chosen = [variable for variable in problem.variables if variable.domain is not None]
    found = []
    for values in itertools.product(*(variable.domain.values for variable in chosen if variable.domain is not None)):
        row = {variable.name: value for variable, value in zip(chosen, values, strict=True)}
        if _complete(problem, row) and all(holds(rule, row) for rule in problem.constraints):
            found.append(row)
    return found


def _complete(problem: Problem, row: dict[str, int]) -> bool:
    left = {variable.name for variable in problem.variables if variable.auxiliary}
    while left:
        name = next(n for n in sorted(left) if not left & set(_first_definition(problem, n).scope) - {n})
        value = result_of(_first_definition(problem, name), row)
        if value is None or not INT64_MIN <= value <= INT64_MAX:
            return False
        row[name] = value
        left.remove(name)
    return True


def _first_definition(problem: Problem, name: str) -> Prod | Sum | Select:
    return next(c for c in problem.constraints if isinstance(c, Prod | Sum | Select) and c.result == name)
