"""The normal form of integer expressions over sizes: a sum of products, in one order.

`flextune.workload.dim_expr` wraps it. Names stand for sizes, so they are never negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from flextune.errors import UsageError


@dataclass(frozen=True, slots=True)
class Symbol:
    """A size, by the name of its dimension."""

    name: str


@dataclass(frozen=True, slots=True)
class Quotient:
    """`numerator // denominator`, rounded down, that nothing simpler is equal to."""

    numerator: Terms
    denominator: Terms


@dataclass(frozen=True, slots=True)
class Extreme:
    """The smallest (`min`) or largest (`max`) of several."""

    function: str
    arguments: tuple[Terms, ...]


Atom = Symbol | Quotient | Extreme


@dataclass(frozen=True, slots=True)
class Term:
    """`coefficient * factor * factor ...`; a factor to the power of 2 is there twice."""

    coefficient: int
    factors: tuple[Atom, ...] = ()


Terms = tuple[Term, ...]
"""A sum without zeros and without two terms of the same factors; those with most factors first, the number last."""

ZERO: Terms = ()


def number(value: int) -> Terms:
    return (Term(value),) if value else ZERO


def atom(value: Atom) -> Terms:
    return (Term(1, (value,)),)


def constant_of(terms: Terms) -> int | None:
    """The value of a sum that is only a number."""
    if not terms:
        return 0
    return terms[0].coefficient if not terms[0].factors else None


def total(terms: Iterable[Term]) -> Terms:
    """The sum of any terms, in normal form."""
    found: dict[tuple[Atom, ...], int] = {}
    for term in terms:
        found[term.factors] = found.get(term.factors, 0) + term.coefficient
    kept = [Term(coefficient, factors) for factors, coefficient in found.items() if coefficient]
    return tuple(sorted(kept, key=lambda term: (-len(term.factors), [atom_text(each) for each in term.factors])))


def scaled(terms: Terms, by: int) -> Terms:
    return tuple(Term(term.coefficient * by, term.factors) for term in terms) if by else ZERO


def added(*sums: Terms) -> Terms:
    return total(term for terms in sums for term in terms)


def subtracted(left: Terms, right: Terms) -> Terms:
    return added(left, scaled(right, -1))


def multiplied(left: Terms, right: Terms) -> Terms:
    return total(_product(a, b) for a in left for b in right)


def _product(a: Term, b: Term) -> Term:
    factors = (
        tuple(sorted((*a.factors, *b.factors), key=atom_text)) if a.factors and b.factors else a.factors + b.factors
    )
    return Term(a.coefficient * b.coefficient, factors)


def divided(a: Term, b: Term) -> Term | None:
    """`a / b` where that is a term."""
    if a.coefficient % b.coefficient:
        return None
    left = list(a.factors)
    for factor in b.factors:
        if factor not in left:
            return None
        left.remove(factor)
    return Term(a.coefficient // b.coefficient, tuple(left))


def is_never_negative(terms: Terms) -> bool:
    """Whether it shows without knowing any ranges that a sum is >= 0 for all sizes."""
    return all(term.coefficient >= 0 and all(map(_is_natural, term.factors)) for term in terms)


def _is_natural(value: Atom) -> bool:
    match value:
        case Symbol():
            return True
        case Quotient(numerator, denominator):
            return is_never_negative(numerator) and is_never_negative(denominator)
        case Extreme("max", arguments):
            return any(map(is_never_negative, arguments))
        case Extreme(_, arguments):
            return all(map(is_never_negative, arguments))


def evaluate(terms: Terms, sizes: Mapping[str, int]) -> int:
    """The number that a sum is for these sizes."""
    result = 0
    for term in terms:
        value = term.coefficient
        for factor in term.factors:
            value *= _evaluate_atom(factor, sizes)
        result += value
    return result


def _evaluate_atom(value: Atom, sizes: Mapping[str, int]) -> int:
    match value:
        case Symbol(name):
            return sizes[name]
        case Quotient(numerator, denominator):
            divisor = evaluate(denominator, sizes)
            if divisor == 0:
                raise UsageError(f"{atom_text(value)} divides by 0 for {_sizes_text(names_of(denominator), sizes)}")
            return evaluate(numerator, sizes) // divisor
        case Extreme(function, arguments):
            values = [evaluate(each, sizes) for each in arguments]
            return min(values) if function == "min" else max(values)


def _sizes_text(names: Iterable[str], sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={sizes[name]}" for name in sorted(names))


def names_of(terms: Terms) -> frozenset[str]:
    """The names of all sizes in it."""
    return frozenset(name for term in terms for factor in term.factors for name in _names_of_atom(factor))


def _names_of_atom(value: Atom) -> frozenset[str]:
    match value:
        case Symbol(name):
            return frozenset({name})
        case Quotient(numerator, denominator):
            return names_of(numerator) | names_of(denominator)
        case Extreme(_, arguments):
            return frozenset().union(*map(names_of, arguments))


def text_of(terms: Terms) -> str:
    """As one writes it in Python: `2*h*w + 1`."""
    if not terms:
        return "0"
    first, *others = terms
    start = f"-{_term_text(first)}" if first.coefficient < 0 else _addend_text(first)
    return start + "".join(f" {'-' if term.coefficient < 0 else '+'} {_addend_text(term)}" for term in others)


def _addend_text(term: Term) -> str:
    """A term without its sign, behind `+` or `-`: a quotient alone needs no brackets there."""
    return atom_text(term.factors[0]) if len(term.factors) == abs(term.coefficient) == 1 else _term_text(term)


def _term_text(term: Term) -> str:
    size, factors = abs(term.coefficient), [_factor_text(each) for each in term.factors]
    return "*".join(factors if size == 1 and factors else [str(size), *factors])


def _factor_text(value: Atom) -> str:
    """An atom as part of a product: Python would read `2*h//4` as `(2*h)//4`, and `-h//2` as `(-h)//2`."""
    return f"({atom_text(value)})" if isinstance(value, Quotient) else atom_text(value)


@lru_cache(4096)
def atom_text(value: Atom) -> str:
    match value:
        case Symbol(name):
            return name
        case Quotient(numerator, denominator):
            return f"{_operand(numerator)}//{_operand(denominator)}"
        case Extreme(function, arguments):
            return f"{function}({', '.join(map(text_of, arguments))})"


def _operand(terms: Terms) -> str:
    """With brackets where Python would read it otherwise."""
    match terms:
        case (Term(1, (Symbol() | Extreme() as value,)),):
            return atom_text(value)
        case _ if (constant := constant_of(terms)) is not None and constant >= 0:
            return str(constant)
        case _:
            return f"({text_of(terms)})"
