"""Sizes as integer expressions over dimensions: values that print, parse, compare, and become code."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.workload.dim import NAME, Dim
from flextune.workload.dim_bounds import interval, simplified
from flextune.workload.dim_code import Instruction, c_text, instructions
from flextune.workload.dim_quotient import extreme, quotient
from flextune.workload.dim_terms import (
    ZERO,
    Atom,
    Extreme,
    Quotient,
    Symbol,
    Terms,
    added,
    atom,
    constant_of,
    evaluate,
    multiplied,
    names_of,
    number,
    scaled,
    subtracted,
    text_of,
)


@dataclass(frozen=True, slots=True)
class DimExpr:
    """An integer expression over sizes, in a normal form: those that are the same sum of products are equal.

    Made of names and numbers by `+ - * // %`, `ceil_div`, `minimum` and `maximum`; `//` rounds down and `%` has the
    sign of the divisor, as in Python. Names stand for sizes, which are never negative, and what is divided by is taken
    not to be 0. `str` is the text form and `DimExpr.parse` the inverse.

    >>> h, w = DimExpr.of("h"), DimExpr.of("w")
    >>> (4 * h) // 2 == 2 * h, h * w // h == w, str((h - 1) // 2 + 1)
    (True, True, '(h + 1)//2')
    """

    terms: Terms

    def __str__(self) -> str:
        return text_of(self.terms)

    @classmethod
    def of(cls, value: ExprLike) -> DimExpr:
        """A number, the size of a dimension (or of that name), or the expression itself."""
        match value:
            case DimExpr():
                return value
            case Dim():
                return cls(atom(Symbol(value.name)))
            case str():
                if not NAME.fullmatch(value):
                    raise UsageError(f"{value!r} is not the name of a dimension: letters, digits and _")
                return cls(atom(Symbol(value)))
            case _:
                return cls(number(int(value)))

    @classmethod
    def parse(cls, text: str) -> DimExpr:
        """Inverse of `str`; takes what Python writes with `+ - * // %`, `min`, `max` and `ceil_div`.

        >>> str(DimExpr.parse("2*h - max(h, w) % 4"))
        '2*h - max(h, w) + 4*(max(h, w)//4)'
        """
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise UsageError(f"cannot read the size {text!r}: {_EXPECTED}") from None
        return _parsed(tree, text)

    def __add__(self, other: ExprLike) -> DimExpr:
        return DimExpr(added(self.terms, DimExpr.of(other).terms))

    def __sub__(self, other: ExprLike) -> DimExpr:
        return DimExpr(subtracted(self.terms, DimExpr.of(other).terms))

    def __rsub__(self, other: ExprLike) -> DimExpr:
        return DimExpr.of(other) - self

    def __mul__(self, other: ExprLike) -> DimExpr:
        return DimExpr(multiplied(self.terms, DimExpr.of(other).terms))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> DimExpr:
        return DimExpr(scaled(self.terms, -1))

    def __floordiv__(self, other: ExprLike) -> DimExpr:
        return DimExpr(quotient(self.terms, DimExpr.of(other).terms))

    def __rfloordiv__(self, other: ExprLike) -> DimExpr:
        return DimExpr.of(other) // self

    def __mod__(self, other: ExprLike) -> DimExpr:
        return self - DimExpr.of(other) * (self // other)

    def __rmod__(self, other: ExprLike) -> DimExpr:
        return DimExpr.of(other) % self

    @property
    def value(self) -> int | None:
        """The number it is, if it depends on no size."""
        return constant_of(self.terms)

    @property
    def names(self) -> frozenset[str]:
        """Those of the dimensions it depends on."""
        return names_of(self.terms)

    @property
    def name(self) -> str | None:
        """That of the dimension whose size it is, if it is nothing else."""
        match self.terms:
            case (term,) if term.coefficient == 1 and len(term.factors) == 1 and isinstance(term.factors[0], Symbol):
                return term.factors[0].name
            case _:
                return None

    def bind(self, sizes: Mapping[str, int]) -> int:
        """The number for these sizes. UsageError where one is missing, or where it divides by 0."""
        if missing := sorted(self.names - sizes.keys()):
            raise UsageError(f"the size {self} needs {', '.join(missing)}; given are {', '.join(sizes) or 'no sizes'}")
        return evaluate(self.terms, sizes)

    def substitute(self, values: Mapping[str, ExprLike]) -> DimExpr:
        """With expressions or numbers in place of some names.

        >>> str(DimExpr.parse("batch*seq").substitute({"batch": 2}))
        '2*seq'
        """
        if not self.names & values.keys():
            return self
        return DimExpr(_substituted(self.terms, {name: DimExpr.of(value).terms for name, value in values.items()}))

    def bounds(self, dims: Mapping[str, Dim]) -> tuple[int, int]:
        """The smallest and largest it can be, or safe limits of these where sizes occur in it several times."""
        self._check_known(dims)
        return interval(self.terms, dims)

    def simplified(self, dims: Mapping[str, Dim]) -> DimExpr:
        """The same for all sizes of these ranges, without what the ranges decide; see `dim_bounds.simplified`."""
        self._check_known(dims)
        return DimExpr(simplified(self.terms, dims))

    def _check_known(self, dims: Mapping[str, Dim]) -> None:
        if missing := sorted(self.names - dims.keys()):
            raise UsageError(f"the range of {', '.join(missing)} is not known, so that of {self} is not")

    def instructions(self) -> tuple[Instruction, ...]:
        """A program for a stack of 64-bit integers that computes it (`flextune.workload.dim_code`)."""
        return tuple(instructions(self.terms))

    def c_code(self, name_of: Callable[[str], str] = str) -> str:
        """A C expression of `int64_t`, in which `name_of` says how a size is called.

        May call `floor_divide`, `minimum` and `maximum`: functions of two `int64_t` that the code around has to have.

        >>> DimExpr.parse("(h + 1)//2").c_code(lambda name: f"size_{name}")
        '((size_h + INT64_C(1)) / (INT64_C(2)))'
        """
        return c_text(self.terms, name_of)


ExprLike = DimExpr | Dim | int | str
"""What is read as a size: an expression, a dimension, its name, or a number."""


Size = int | DimExpr
"""A number, or what it is made of where it is known only when the model runs."""


def ceil_div(numerator: ExprLike, denominator: ExprLike) -> DimExpr:
    """Rounded up: `ceil_div("rows", 14)` blocks of 14 hold all rows."""
    return -((-DimExpr.of(numerator)) // denominator)


def minimum(*values: ExprLike) -> DimExpr:
    """The smallest of them."""
    return DimExpr(extreme("min", [DimExpr.of(value).terms for value in values]))


def maximum(*values: ExprLike) -> DimExpr:
    """The largest of them."""
    return DimExpr(extreme("max", [DimExpr.of(value).terms for value in values]))


def _substituted(terms: Terms, values: Mapping[str, Terms]) -> Terms:
    result = ZERO
    for term in terms:
        product = number(term.coefficient)
        for factor in term.factors:
            product = multiplied(product, _substituted_atom(factor, values))
        result = added(result, product)
    return result


def _substituted_atom(value: Atom, values: Mapping[str, Terms]) -> Terms:
    match value:
        case Symbol(name):
            return values.get(name, atom(value))
        case Quotient(numerator, denominator):
            return quotient(_substituted(numerator, values), _substituted(denominator, values))
        case Extreme(function, arguments):
            return extreme(function, [_substituted(each, values) for each in arguments])


_EXPECTED = "expected names and numbers with + - * // %, min, max and ceil_div"
_FUNCTIONS: Mapping[str, Callable[..., DimExpr]] = {"min": minimum, "max": maximum, "ceil_div": ceil_div}
_OPERATORS: Mapping[type[ast.operator], Callable[[DimExpr, DimExpr], DimExpr]] = {
    ast.Add: DimExpr.__add__,
    ast.Sub: DimExpr.__sub__,
    ast.Mult: DimExpr.__mul__,
    ast.FloorDiv: DimExpr.__floordiv__,
    ast.Mod: DimExpr.__mod__,
}


def _parsed(tree: ast.expr, text: str) -> DimExpr:
    match tree:
        case ast.Constant(int(value)) if not isinstance(value, bool):
            return DimExpr.of(value)
        case ast.Name(name):
            return DimExpr.of(name)
        case ast.UnaryOp(ast.USub(), operand):
            return -_parsed(operand, text)
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            return _OPERATORS[type(operator)](_parsed(left, text), _parsed(right, text))
        case ast.Call(ast.Name(name), arguments, []) if name in _FUNCTIONS and (
            len(arguments) == 2 or name != "ceil_div"
        ):
            return _FUNCTIONS[name](*(_parsed(each, text) for each in arguments))
        case _:
            raise UsageError(f"cannot read the size {text!r}: {_EXPECTED}")
