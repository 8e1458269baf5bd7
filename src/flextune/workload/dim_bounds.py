"""What sums in normal form can be for sizes in given ranges, and what becomes simpler when the ranges are known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from itertools import product

from flextune.errors import UsageError
from flextune.workload.dim import Dim
from flextune.workload.dim_quotient import extreme, quotient
from flextune.workload.dim_terms import (
    ZERO,
    Atom,
    Extreme,
    Quotient,
    Symbol,
    Term,
    Terms,
    added,
    atom,
    constant_of,
    is_never_negative,
    multiplied,
    number,
    scaled,
    subtracted,
    total,
)

Interval = tuple[int, int]
"""From, to; both included."""

_MOST_CORNERS = 6
"""Atoms of a sum that is computed at all combinations of their ends; with more, term by term."""


def interval(terms: Terms, dims: Mapping[str, Dim]) -> Interval:
    """Bounds that no combination of sizes leaves; exact for a sum in which each size is there once."""
    lo, hi = _at_ends(terms, dims)
    if slack := _without_quotients(terms):
        larger, factor, down, up = slack
        below, above = interval(larger, dims)
        lo, hi = max(lo, -(-(below + down) // factor)), min(hi, (above + up) // factor)
    return lo, hi


def _at_ends(terms: Terms, dims: Mapping[str, Dim]) -> Interval:
    atoms = list(dict.fromkeys(factor for term in terms for factor in term.factors))
    ends = {each: _atom_interval(each, dims) for each in atoms}
    if len(atoms) <= _MOST_CORNERS and all(len(set(term.factors)) == len(term.factors) for term in terms):
        corners = (dict(zip(atoms, corner, strict=True)) for corner in product(*(ends[each] for each in atoms)))
        values = [_at(terms, corner) for corner in corners]
        return min(values), max(values)
    parts = [_term_interval(term, ends) for term in terms]
    return sum(lo for lo, _ in parts), sum(hi for _, hi in parts)


def _at(terms: Terms, values: Mapping[Atom, int]) -> int:
    return sum(term.coefficient * math.prod(values[each] for each in term.factors) for term in terms)


def _term_interval(term: Term, ends: Mapping[Atom, Interval]) -> Interval:
    start = (term.coefficient, term.coefficient)
    return reduce(lambda a, b: _hull(x * y for x in a for y in b), (ends[each] for each in term.factors), start)


def _hull(values: Iterable[int]) -> Interval:
    found = list(values)
    return min(found), max(found)


def _atom_interval(value: Atom, dims: Mapping[str, Dim]) -> Interval:
    match value:
        case Symbol(name):
            return dims[name].sizes[0], dims[name].sizes[-1]
        case Quotient(numerator, denominator):
            return _quotient_interval(numerator, denominator, dims)
        case Extreme(function, arguments):
            ends = [interval(each, dims) for each in arguments]
            choose = min if function == "min" else max
            return choose(lo for lo, _ in ends), choose(hi for _, hi in ends)


def _quotient_interval(numerator: Terms, denominator: Terms, dims: Mapping[str, Dim]) -> Interval:
    lo, hi = interval(denominator, dims)
    if is_never_negative(denominator):
        lo = max(lo, 1)
    divisors = [each for each in (lo, -1, 1, hi) if lo <= each <= hi and each != 0]
    if not divisors:
        raise UsageError("a quotient of sizes divides by 0 for every size in range")
    return _hull(n // d for n in interval(numerator, dims) for d in divisors)


def _without_quotients(terms: Terms) -> tuple[Terms, int, int, int] | None:
    """A sum `s` without quotients by numbers, with `s + down <= factor * terms <= s + up`.

    n//d is (n - r) / d with r from 0 to d - 1, so h - 2*(h//2) is known to be 0 or 1.
    """
    pure = [(term, found) for term in terms if (found := _pure(term)) is not None]
    if not pure or len(terms) == 1:
        return None
    factor = math.lcm(*(divisor for _, (_, divisor) in pure))
    others = (term for term in terms if _pure(term) is None)
    larger, down, up = total(Term(term.coefficient * factor, term.factors) for term in others), 0, 0
    for term, (numerator, divisor) in pure:
        share = term.coefficient * factor // divisor
        larger = added(larger, scaled(numerator, share))
        down += min(0, -share * (divisor - 1))
        up += max(0, -share * (divisor - 1))
    return larger, factor, down, up


def _pure(term: Term) -> tuple[Terms, int] | None:
    """Numerator and divisor of a term that is only a quotient by a number."""
    match term.factors:
        case (Quotient(numerator, denominator),) if (divisor := constant_of(denominator)) is not None:
            return numerator, divisor
        case _:
            return None


def simplified(terms: Terms, dims: Mapping[str, Dim]) -> Terms:
    """The same for all sizes in range, with names of one size replaced by it, and without what the ranges decide.

    seq from 1 to 512, a multiple of 8: min(seq, 512) -> seq    8*(seq//8) -> seq    (seq + 3)//4 -> 2*(seq//8)
    """
    result = ZERO
    for term in terms:
        pieces = number(1)
        for factor in term.factors:
            pieces = multiplied(pieces, _simplified_atom(factor, dims))
        result = added(result, scaled(pieces, term.coefficient))
    return _with_whole_multiples(result, dims)


def _simplified_atom(value: Atom, dims: Mapping[str, Dim]) -> Terms:
    match value:
        case Symbol(name):
            fixed = dims[name].fixed if name in dims else None
            return atom(value) if fixed is None else number(fixed)
        case Quotient(numerator, denominator):
            result = _quotient_of_multiples(simplified(numerator, dims), simplified(denominator, dims), dims)
        case Extreme(function, arguments):
            kept = list(_undecided(function, [simplified(each, dims) for each in arguments], dims))
            result = extreme(function, kept)
    lo, hi = interval(result, dims)
    return number(lo) if lo == hi else result


def _undecided(function: str, arguments: list[Terms], dims: Mapping[str, Dim]) -> Iterator[Terms]:
    """The arguments that can be the result; of those that are always equal, the first."""
    left = list(dict.fromkeys(arguments))
    for each in tuple(left):
        others = [other for other in left if other != each]
        if any(_never_beyond(function, other, each, dims) for other in others):
            left.remove(each)
    yield from left


def _never_beyond(function: str, one: Terms, other: Terms, dims: Mapping[str, Dim]) -> bool:
    """Whether `other` is never the result where `one` is there."""
    lo, hi = interval(subtracted(other, one), dims)
    return lo >= 0 if function == "min" else hi <= 0


def _quotient_of_multiples(numerator: Terms, denominator: Terms, dims: Mapping[str, Dim]) -> Terms:
    """A quotient; what the denominator divides because a size is a multiple is told by that size over its multiple."""
    divisor = constant_of(denominator)
    if not divisor or divisor < 0:
        return quotient(numerator, denominator)
    shares = [(_share(term, divisor, dims), term) for term in numerator]
    rest = total(term for share, term in shares if share is None)
    return added(quotient(rest, denominator), *(share for share, _ in shares if share is not None))


def _share(term: Term, divisor: int, dims: Mapping[str, Dim]) -> Terms | None:
    """`term / divisor`, where that is whole for all sizes because one of them is a multiple; 3*h/8 -> 6*(h//16)."""
    for position, factor in enumerate(term.factors):
        multiple = dims[factor.name].multiple if isinstance(factor, Symbol) and factor.name in dims else 1
        if multiple > 1 and term.coefficient * multiple % divisor == 0:
            others = Term(
                term.coefficient * multiple // divisor, term.factors[:position] + term.factors[position + 1 :]
            )
            return multiplied((others,), quotient(atom(factor), number(multiple)))
    return None


def _with_whole_multiples(terms: Terms, dims: Mapping[str, Dim]) -> Terms:
    """Sizes over their multiples as often as that is less than the size: 40*(h//32) -> h + 8*(h//32)."""
    result, changed = ZERO, False
    for term in terms:
        found = next((each for each in term.factors if _is_over_multiple(each, dims)), None)
        if not isinstance(found, Quotient):
            result = added(result, (term,))
            continue
        multiple = constant_of(found.denominator) or 1
        times, left = divmod(term.coefficient, multiple)
        at = term.factors.index(found)
        others = (Term(1, term.factors[:at] + term.factors[at + 1 :]),)
        changed = changed or times != 0
        pieces = added(scaled(found.numerator, times), scaled(atom(found), left))
        result = added(result, multiplied(pieces, others))
    return _with_whole_multiples(result, dims) if changed else result


def _is_over_multiple(value: Atom, dims: Mapping[str, Dim]) -> bool:
    match value:
        case Quotient((Term(1, (Symbol(name),)),), denominator) if name in dims:
            return constant_of(denominator) == dims[name].multiple
        case _:
            return False
