"""Quotients, minima and maxima of sums in normal form, simplified where that holds for all sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable

from flextune.errors import UsageError
from flextune.workload.dim_terms import (
    ZERO,
    Extreme,
    Quotient,
    Symbol,
    Term,
    Terms,
    added,
    atom,
    constant_of,
    divided,
    is_never_negative,
    multiplied,
    number,
    scaled,
    subtracted,
    text_of,
    total,
)


def quotient(numerator: Terms, denominator: Terms) -> Terms:
    """`numerator // denominator`, rounded down; a denominator with names in it is taken not to be 0.

    (4*h) // 2 -> 2*h    (h*w) // h -> w    (h//2 + 1) // 2 -> (h + 2)//4    -(-h // 2) -> (h + 1)//2
    """
    if not denominator:
        raise UsageError(f"{text_of(numerator)} is divided by 0")
    if denominator[0].coefficient < 0:
        return quotient(scaled(numerator, -1), scaled(denominator, -1))
    whole, rest = _exact_part(numerator, denominator)
    if not rest:
        return whole
    divisor = constant_of(denominator)
    if divisor is None:
        return added(whole, _by_names(rest, denominator))
    return added(whole, _by_number(rest, divisor))


def _exact_part(numerator: Terms, denominator: Terms) -> tuple[Terms, Terms]:
    """The terms that the denominator divides, divided, and the others; of a longer denominator all or none."""
    lead = denominator[0]
    if len(denominator) == 1:
        pairs = [(divided(term, lead), term) for term in numerator]
        exact = total(found for found, _ in pairs if found is not None)
        return exact, tuple(term for found, term in pairs if found is None)
    found, rest = ZERO, numerator
    while rest:
        part = divided(rest[0], lead)
        if part is None:
            return ZERO, numerator
        found = added(found, (part,))
        rest = subtracted(rest, multiplied((part,), denominator))
    return found, ZERO


def _by_names(numerator: Terms, denominator: Terms) -> Terms:
    common = _common_factor((*numerator, *denominator))
    if common != Term(1):
        return quotient(_without_factor(numerator, common), _without_factor(denominator, common))
    return _nested(numerator, denominator) or atom(Quotient(numerator, denominator))


def _by_number(numerator: Terms, divisor: int) -> Terms:
    """By a number > 0. The first coefficient becomes positive, and all those below the divisor."""
    if divisor == 1:
        return numerator
    if numerator[0].factors and numerator[0].coefficient < 0:
        return scaled(quotient(added(scaled(numerator, -1), number(divisor - 1)), number(divisor)), -1)
    whole = total(Term(term.coefficient // divisor, term.factors) for term in numerator)
    rest = total(Term(term.coefficient % divisor, term.factors) for term in numerator)
    if constant_of(rest) is not None:
        return whole
    common = math.gcd(divisor, *(term.coefficient for term in rest if term.factors))
    smaller = total(Term(term.coefficient // common, term.factors) for term in rest)
    denominator = number(divisor // common)
    if common > 1:
        return added(whole, quotient(smaller, denominator))
    return added(whole, _nested(rest, denominator) or atom(Quotient(rest, denominator)))


def _nested(numerator: Terms, denominator: Terms) -> Terms:
    """(a//b + c) // d as (a + b*c) // (b*d), which is the same for d > 0; nothing where it is not of that form."""
    quotients = [term for term in numerator if any(isinstance(factor, Quotient) for factor in term.factors)]
    if len(quotients) != 1 or quotients[0].coefficient != 1 or not _is_positive(denominator):
        return ZERO
    inner, *others = quotients[0].factors
    if others or not isinstance(inner, Quotient):
        return ZERO
    rest = subtracted(numerator, (quotients[0],))
    return quotient(
        added(inner.numerator, multiplied(inner.denominator, rest)), multiplied(inner.denominator, denominator)
    )


def _is_positive(denominator: Terms) -> bool:
    """Whether what is not 0 is > 0."""
    return all(
        term.coefficient > 0 and all(isinstance(factor, Symbol) for factor in term.factors) for term in denominator
    )


def _common_factor(terms: Terms) -> Term:
    """What divides all of the terms."""
    first, *others = terms
    factors = []
    left = [list(term.factors) for term in others]
    for factor in first.factors:
        if all(factor in each for each in left):
            factors.append(factor)
            for each in left:
                each.remove(factor)
    return Term(math.gcd(*(term.coefficient for term in terms)), tuple(factors))


def _without_factor(terms: Terms, common: Term) -> Terms:
    return total(found for term in terms if (found := divided(term, common)) is not None)


def extreme(function: str, arguments: Iterable[Terms]) -> Terms:
    """The smallest (`min`) or largest (`max`) of sums.

    min(h, h + 1) -> h    max(h, 0) -> h    min(h + 1, w + 1) -> min(h, w) + 1
    """
    kept: list[Terms] = []
    for each in _flattened(function, arguments):
        if any(_decides(function, other, each) for other in kept):
            continue
        kept = [other for other in kept if not _decides(function, each, other)] + [each]
    if not kept:
        raise UsageError(f"{function} of nothing has no value")
    if len(kept) == 1:
        return kept[0]
    offset = number(min(_offset(each) for each in kept))
    shifted = sorted((subtracted(each, offset) for each in kept), key=text_of)
    return added(atom(Extreme(function, tuple(shifted))), offset)


def _flattened(function: str, arguments: Iterable[Terms]) -> Iterable[Terms]:
    for each in arguments:
        offset = number(_offset(each))
        inner = subtracted(each, offset)
        match inner:
            case (Term(1, (Extreme(same, parts),)),) if same == function:
                yield from (added(part, offset) for part in parts)
            case _:
                yield each


def _offset(terms: Terms) -> int:
    """The number in a sum."""
    return terms[-1].coefficient if terms and not terms[-1].factors else 0


def _decides(function: str, one: Terms, other: Terms) -> bool:
    """Whether `other` need not be looked at beside `one`: max(h, min(h, w)) is h."""
    match other:
        case (Term(1, (Extreme(opposite, parts),)),) if opposite != function and one in parts:
            return True
    return is_never_negative(subtracted(other, one) if function == "min" else subtracted(one, other))
