"""Reading the text form of a problem: a small grammar of its own, nothing is ever evaluated.

problem    := line*                                   one statement per line; '#' starts a comment
line       := 'var' NAME 'in' set | 'aux' NAME | statement [';' note*]
note       := ('name' | 'reason' | 'rule') '=' STRING         STRING as in JSON
statement  := 'when' (statement | '(' statement ')') 'then' statement
            | 'predicate' NAME '(' NAME {',' NAME} ')'
            | 'table' '(' NAME {',' NAME} ')' 'in' '{' [row {',' row}] '}'     row := '(' INTEGER {',' INTEGER} ')'
            | operand '=' operand '*' operand {'*' operand}   product (with '+': sum)
            | operand '=' ('prod' | 'sum') '(' [operand {',' operand}] ')'
            | operand '=' 'select' '(' operand ';' operand {',' operand} ')'
            | operand ('==' | '!=' | '<=' | '<') operand | operand 'divides' operand | operand 'in' set
set        := '{' [item {',' item}] '}'     item := INTEGER ['..' INTEGER]     operand := NAME | INTEGER
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from flextune.csp.constraint import (
    Constraint,
    Divides,
    Eq,
    In,
    Le,
    Lt,
    Ne,
    Operand,
    Predicate,
    Prod,
    Select,
    Sum,
    When,
)
from flextune.csp.domain import MAX_DOMAIN_VALUES, NAME_PATTERN, Domain, Variable
from flextune.csp.table_constraint import Table
from flextune.errors import UsageError

_TOKEN = re.compile(
    r"\s*(?:(?P<comment>#.*)|(?P<string>\"(?:[^\"\\]|\\.)*\")|(?P<range>\.\.)|(?P<number>-?\d+)"
    rf"|(?P<name>{NAME_PATTERN})|(?P<symbol>==|!=|<=|[<=*+{{}}(),;]))"
)
_COMPARISONS: Mapping[str, type[Eq | Ne | Le | Lt]] = {"==": Eq, "!=": Ne, "<=": Le, "<": Lt}
_NOTES = ("name", "reason", "rule")
_MAX_NESTING = 50
_registered: dict[str, Predicate] = {}


def register_predicate(name: str, function: Callable[..., object], *, vectorised: bool = False) -> None:
    """Make `predicate name(...)` readable from text. A name taken by another function raises `UsageError`."""
    if name in _registered and _registered[name].function is not function:
        raise UsageError(f"a predicate named {name!r} is already registered; choose another name")
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(f"predicate name {name!r}: expected letters, digits, '_' and '.'")
    _registered[name] = Predicate(("unused",), function, name=name, vectorised=vectorised)


def parse_lines(text: str) -> tuple[tuple[Variable, ...], tuple[Constraint, ...]]:
    """The variables and constraints of the text, in order; `UsageError` names the line of anything unexpected."""
    variables: list[Variable] = []
    constraints: list[Constraint] = []
    for number, line in enumerate(text.splitlines(), start=1):
        reader = _Reader(line, number, _tokens(line, number))
        if not reader.tokens:
            continue
        if reader.peek in ("var", "aux"):
            variables.append(reader.variable())
        else:
            constraints.append(reader.noted_constraint())
        reader.end()
    return tuple(variables), tuple(constraints)


def _tokens(line: str, number: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position, end = 0, len(line.rstrip())
    while position < end:
        match = _TOKEN.match(line, position)
        if match is None:
            raise UsageError(f"line {number}: unexpected {line[position:].strip()[:20]!r} in {line.strip()!r}")
        if match.lastgroup != "comment":
            kind = str(match.lastgroup)
            found.append((kind, match[kind]))
        position = match.end()
    return found


@dataclass
class _Reader:
    """A cursor over the tokens of one line."""

    line: str
    """The text."""
    number: int
    """Its place in the file, for messages."""
    tokens: list[tuple[str, str]]
    """Kinds and texts."""
    position: int = 0
    """Of the next token."""
    depth: int = 0
    """Of parentheses that are open."""

    @property
    def peek(self) -> str:
        return self.tokens[self.position][1] if self.position < len(self.tokens) else ""

    @property
    def kind(self) -> str:
        return self.tokens[self.position][0] if self.position < len(self.tokens) else "end of line"

    def fail(self, expected: str) -> UsageError:
        got = repr(self.peek) if self.peek else "the end of the line"
        return UsageError(f"line {self.number}: expected {expected}, got {got} in {self.line.strip()!r}")

    def take(self, kind: str, expected: str) -> str:
        if self.kind != kind:
            raise self.fail(expected)
        self.position += 1
        return self.tokens[self.position - 1][1]

    def accept(self, text: str) -> bool:
        found = self.peek == text and self.kind in ("symbol", "name", "range")
        self.position += found
        return found

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.fail(repr(text))

    def end(self) -> None:
        if self.position < len(self.tokens):
            raise self.fail("the end of the line")

    def integer(self) -> int:
        text = self.take("number", "an integer")
        if len(text) > 20:
            raise UsageError(f"line {self.number}: {text[:20]}... does not fit 64 bits")
        return int(text)

    def operand(self) -> Operand:
        if self.kind == "number":
            return self.integer()
        return self.take("name", "a variable name or an integer")

    def listed(self) -> tuple[Operand, ...]:
        """Operands separated by commas up to the closing parenthesis, which is taken."""
        operands: list[Operand] = []
        while not self.accept(")"):
            if operands:
                self.expect(",")
            operands.append(self.operand())
        return tuple(operands)

    def integer_set(self) -> tuple[int, ...]:
        values: list[int] = []
        self.expect("{")
        while not self.accept("}"):
            if values:
                self.expect(",")
            low = self.integer()
            high = self.integer() if self.accept("..") else low
            if high - low >= MAX_DOMAIN_VALUES:
                raise UsageError(f"line {self.number}: {low}..{high} has more than {MAX_DOMAIN_VALUES} values")
            values.extend(range(low, high + 1))
        return tuple(values)

    def variable(self) -> Variable:
        auxiliary = self.accept("aux")
        if not auxiliary:
            self.expect("var")
        name = self.take("name", "a variable name")
        if auxiliary:
            return Variable(name)
        self.expect("in")
        return Variable(name, Domain(self.integer_set()))

    def noted_constraint(self) -> Constraint:
        constraint = self.statement()
        if not self.accept(";"):
            return constraint
        notes: dict[str, str] = {}
        while self.kind == "name":
            key = self.take("name", "a note")
            if key not in _NOTES or key in notes:
                raise UsageError(f"line {self.number}: expected one each of {', '.join(_NOTES)}, got {key!r}")
            self.expect("=")
            notes[key] = self.quoted()
        return replace(constraint, **notes)

    def quoted(self) -> str:
        try:
            return str(json.loads(self.take("string", "a quoted text")))
        except json.JSONDecodeError:
            raise UsageError(f"line {self.number}: a quoted text is not valid JSON in {self.line.strip()!r}") from None

    def statement(self) -> Constraint:
        self.depth += 1
        if self.depth > _MAX_NESTING:
            raise UsageError(f"line {self.number}: more than {_MAX_NESTING} nested 'when'")
        if self.accept("when"):
            return self.conditional()
        if self.accept("predicate"):
            return self.predicate()
        if self.accept("table"):
            return self.table()
        return self.relation(self.operand())

    def conditional(self) -> When:
        grouped = self.accept("(")
        condition = self.statement()
        if grouped:
            self.expect(")")
        self.expect("then")
        return When(condition, self.statement())

    def predicate(self) -> Predicate:
        name = self.take("name", "the name of a predicate")
        self.expect("(")
        variables = tuple(map(str, self.listed()))
        if name not in _registered:
            known = ", ".join(_registered) or "none"
            raise UsageError(
                f"line {self.number}: predicate {name!r} is not registered (registered: {known});"
                " call register_predicate(name, function) first"
            )
        return replace(_registered[name], variables=variables)

    def table(self) -> Table:
        self.expect("(")
        variables = tuple(map(str, self.listed()))
        self.expect("in")
        self.expect("{")
        rows: list[tuple[int, ...]] = []
        while not self.accept("}"):
            if rows:
                self.expect(",")
            rows.append(self.row())
        return Table(variables, tuple(rows))

    def row(self) -> tuple[int, ...]:
        self.expect("(")
        values = [self.integer()]
        while not self.accept(")"):
            self.expect(",")
            values.append(self.integer())
        return tuple(values)

    def relation(self, left: Operand) -> Constraint:
        for symbol, kind in _COMPARISONS.items():
            if self.accept(symbol):
                return kind(left, self.operand())
        if self.accept("divides"):
            return Divides(left, self.operand())
        if self.accept("in"):
            return In(left, self.integer_set())
        if self.accept("="):
            return self.definition(left)
        raise self.fail("one of = == != <= < divides in")

    def definition(self, result: Operand) -> Constraint:
        if self.accept("select"):
            self.expect("(")
            index = self.operand()
            self.expect(";")
            return Select(result, index, self.listed())
        for word, kind in (("prod", Prod), ("sum", Sum)):
            if self.accept(word):
                self.expect("(")
                return kind(result, self.listed())
        operands = [self.operand()]
        for symbol, kind in (("*", Prod), ("+", Sum)):
            while self.accept(symbol):
                operands.append(self.operand())
            if len(operands) > 1:
                return kind(result, tuple(operands))
        raise self.fail("'*' or '+' (or '==' in place of '=')")
