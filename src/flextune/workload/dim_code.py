"""Sums in normal form as programs: C expressions, and instructions for a stack of integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

from flextune.workload.dim_terms import Atom, Extreme, Quotient, Symbol, Term, Terms, is_never_negative


class Operation(StrEnum):
    """What an instruction does. `push` puts a number on the stack and `load` a size; the others replace the two on top.

    Quotients are rounded down, also those of negative numbers.
    """

    PUSH = "push"
    LOAD = "load"
    ADD = "add"
    MULTIPLY = "multiply"
    FLOOR_DIVIDE = "floor_divide"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step of a program on a stack."""

    operation: Operation
    number: int = 0
    """What `push` puts on the stack."""
    name: str = ""
    """The dimension whose size `load` puts on the stack."""


def instructions(terms: Terms) -> Iterator[Instruction]:
    """A program that leaves the value on the stack; it needs no more places than `stack_depth` says."""
    if not terms:
        yield Instruction(Operation.PUSH, 0)
    for position, term in enumerate(terms):
        yield from _of_term(term)
        if position:
            yield Instruction(Operation.ADD)


def _of_term(term: Term) -> Iterator[Instruction]:
    if term.coefficient != 1 or not term.factors:
        yield Instruction(Operation.PUSH, term.coefficient)
    for position, factor in enumerate(term.factors):
        yield from _of_atom(factor)
        if position or term.coefficient != 1:
            yield Instruction(Operation.MULTIPLY)


def _of_atom(value: Atom) -> Iterator[Instruction]:
    match value:
        case Symbol(name):
            yield Instruction(Operation.LOAD, name=name)
        case Quotient(numerator, denominator):
            yield from instructions(numerator)
            yield from instructions(denominator)
            yield Instruction(Operation.FLOOR_DIVIDE)
        case Extreme(function, arguments):
            for position, each in enumerate(arguments):
                yield from instructions(each)
                if position:
                    yield Instruction(Operation.MINIMUM if function == "min" else Operation.MAXIMUM)


def stack_depth(program: tuple[Instruction, ...]) -> int:
    """The most numbers that are on the stack at a time."""
    depth = deepest = 0
    for each in program:
        depth += 1 if each.operation in (Operation.PUSH, Operation.LOAD) else -1
        deepest = max(deepest, depth)
    return deepest


def c_text(terms: Terms, name_of: Callable[[str], str]) -> str:
    """An expression of `int64_t`; see `DimExpr.c_code` for the functions it may call."""
    if not terms:
        return "INT64_C(0)"
    return " + ".join(_c_term(term, name_of) for term in terms)


def _c_term(term: Term, name_of: Callable[[str], str]) -> str:
    factors = [_c_atom(each, name_of) for each in term.factors]
    if term.coefficient != 1 or not factors:
        text = f"INT64_C({abs(term.coefficient)})"
        factors.insert(0, text if term.coefficient > 0 else f"(-{text})")
    return " * ".join(factors)


def _c_atom(value: Atom, name_of: Callable[[str], str]) -> str:
    match value:
        case Symbol(name):
            return name_of(name)
        case Quotient(numerator, denominator):
            above, below = c_text(numerator, name_of), c_text(denominator, name_of)
            if is_never_negative(numerator) and is_never_negative(denominator):
                return f"(({above}) / ({below}))"
            return f"floor_divide({above}, {below})"
        case Extreme(function, arguments):
            name = "minimum" if function == "min" else "maximum"
            return reduce(lambda left, right: f"{name}({left}, {right})", (c_text(each, name_of) for each in arguments))
